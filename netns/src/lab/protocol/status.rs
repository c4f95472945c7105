//! How a lab stands.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::InstanceState;
use crate::compose::Limits;
use crate::plan::{Direct, Held};

/// How a lab stands: what `ps --json` prints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The project's name.
    pub project: String,
    /// The lab's first process, as the host numbers it.
    pub pid: i32,
    /// Milliseconds since it began.
    pub uptime_ms: u64,
    /// How long building the network took, in milliseconds.
    pub network_ms: f64,
    /// When everything was healthy for the first time.
    pub ready_ms: Option<u64>,
    /// Whether it is being taken down.
    #[serde(default)]
    pub stopping: bool,
    /// Why limits that the file states are not enforced, if they are not.
    #[serde(default)]
    pub unenforced: Option<String>,
    /// Whether the disk that the logs are on is full: what instances write is lost.
    #[serde(default)]
    pub disk_full: bool,
    /// Where its bring-up is held (`up --until`); not there when it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
    /// The Compose files that it was read from.
    #[serde(default)]
    pub files: Vec<PathBuf>,
    /// Published ports.
    pub published: Vec<PublishedPort>,
    /// How this host reaches the instances by their own addresses; `None`: not at all.
    #[serde(default)]
    pub uplink: Option<Box<UplinkStatus>>,
    /// The instances, by service and index.
    pub instances: Vec<InstanceStatus>,
    /// One-off instances that run, by name; their index is 0.
    #[serde(default)]
    pub one_offs: Vec<InstanceStatus>,
}

/// The pair of interfaces between the host and a lab that root runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UplinkStatus {
    /// The host's end.
    pub link: String,
    /// The host's address.
    pub host: Ipv4Addr,
    /// The router's address.
    pub router: Ipv4Addr,
    /// Subnets that lead this way.
    pub reached: Vec<Ipv4Net>,
    /// What the policy opens to the host.
    pub direct: Vec<Direct>,
}

/// A port of the host that is answered by a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// Host address; `None`: all of them.
    pub host_ip: Option<IpAddr>,
    /// Host port.
    pub host_port: u16,
    /// The service.
    pub service: String,
    /// The port it answers on.
    pub target_port: u16,
}

/// One instance in [`Status`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// `<service>-<index>`.
    pub name: String,
    /// Its service.
    pub service: String,
    /// From 1.
    pub index: u32,
    /// Where it is in its life, and what its health check says.
    pub state: InstanceState,
    /// What its health check says: `none`, `starting`, `healthy` or `unhealthy`.
    pub health: String,
    /// Its address; `None`: it has no network.
    pub address: Option<Ipv4Addr>,
    /// Its process as the lab's PID namespace numbers it.
    pub lab_pid: Option<i32>,
    /// Its process as the host numbers it (filled in by the command line): `nsenter --target` takes it.
    #[serde(default)]
    pub pid: Option<i32>,
    /// Milliseconds since it was started; `None`: it does not run.
    pub uptime_ms: Option<u64>,
    /// How often it was started again.
    pub restarts: u32,
    /// How it ended last.
    pub exit_code: Option<i32>,
    /// Whether that was the kernel's doing because it hit its memory limit.
    #[serde(default)]
    pub oom_killed: bool,
    /// The limits that are enforced on it.
    #[serde(default)]
    pub limits: Limits,
    /// Nanoseconds that its processor limit has kept it from running; `None`: it has no limits, or does not run.
    #[serde(default)]
    pub throttled_ns: Option<u64>,
    /// How many of its processes were ended for lack of memory; as above.
    #[serde(default)]
    pub oom_kills: Option<u64>,
    /// Whether it keeps ending.
    pub crash_loop: bool,
    /// The last lines of its log when it is in a crash loop, unhealthy or failed.
    pub tail: Vec<String>,
}
