//! What the instances use: the answer to a question, and nothing that is kept.

use serde::{Deserialize, Serialize};

/// What all instances use at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Usages {
    /// The moment, in nanoseconds since the lab's first process began.
    pub at_ns: u64,
    /// The instances by service and index.
    pub instances: Vec<InstanceUsage>,
}

/// What one instance uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceUsage {
    /// `<service>-<index>`.
    pub name: String,
    /// Its service.
    pub service: String,
    /// How often it was started again.
    pub restarts: u32,
    /// `None`: it does not run.
    pub usage: Option<Usage>,
}

/// Figures of an instance. Those that only a control group has are absent where there is none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Processor time used since it was started, in nanoseconds.
    pub cpu_ns: u64,
    /// Memory used now, in bytes.
    pub memory_bytes: u64,
    /// Processes and threads now.
    pub pids: u64,
    /// Bytes received on its interface.
    pub rx_bytes: u64,
    /// Bytes sent on its interface.
    pub tx_bytes: u64,
    /// Most memory it may have, in bytes.
    pub memory_limit: Option<u64>,
    /// Most processors it may use.
    pub cpu_limit: Option<f64>,
    /// How long it was kept from a processor by its limit, in nanoseconds.
    pub throttled_ns: Option<u64>,
    /// How many of its processes were killed for want of memory.
    pub oom_kills: Option<u64>,
}
