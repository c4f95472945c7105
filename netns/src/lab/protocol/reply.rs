//! What a lab answers.

use serde::{Deserialize, Serialize};

use super::{Status, VERSION};
use crate::lab::events::Event;
use crate::lab::usage::Usages;

/// What a lab answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// How things stand.
    Status(Box<Status>),
    /// What the instances use.
    Usage(Usages),
    /// Something happened to an instance.
    Event(Event),
    /// Something happened.
    Progress(Progress),
    /// The program that [`Request::Exec`](super::Request::Exec) started has ended.
    Exited {
        /// Its exit code; 128 and the signal's number when a signal ended it.
        code: i32,
    },
    /// An instance that was waited for has ended.
    Ended {
        /// Its name.
        instance: String,
        /// Its exit code; 128 and the signal's number when a signal ended it.
        code: i32,
    },
    /// What was asked for has come about.
    Done {
        /// How many instances it concerned, and one more if ports, names or rules are others now; 0: nothing was changed.
        touched: usize,
        /// How long it took.
        took_ms: u64,
    },
    /// The request cannot be met.
    Error {
        /// What is wrong and what to do about it.
        message: String,
        /// The exit code that goes with it; `None`: that of any failure.
        #[serde(default)]
        code: Option<u8>,
        /// [`VERSION`] of who refuses; 0: one from before it was said.
        #[serde(default)]
        v: u32,
    },
}

impl Reply {
    /// A request that cannot be met: what is wrong, and the exit code that goes with it if it is not that of any failure.
    #[must_use]
    pub fn refusal(message: impl Into<String>, code: Option<u8>) -> Self {
        Self::Error {
            message: message.into(),
            code,
            v: VERSION,
        }
    }
}

/// Something that happened while the lab comes up or goes down. Times are milliseconds since its first process began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Progress {
    /// Namespaces, links, addresses, routes and rules stand.
    Network {
        /// How long building them took.
        took_ms: f64,
        /// Network namespaces.
        namespaces: usize,
        /// Kernel operations.
        operations: usize,
        /// The router's namespace, as a descriptor of the lab's first process.
        #[serde(default)]
        router: Option<i32>,
    },
    /// An instance reached another state.
    Instance {
        /// Its name.
        instance: String,
        /// The state.
        state: InstanceState,
        /// When.
        at_ms: u64,
        /// Milliseconds since it was started (or, stopped: since it was told to).
        took_ms: u64,
        /// What went wrong, if anything.
        detail: Option<String>,
    },
    /// Everything runs and is healthy.
    Ready {
        /// When.
        at_ms: u64,
        /// Resident memory of the instances, in bytes.
        memory: Vec<(String, u64)>,
        /// Why limits that the file states are not enforced, if they are not.
        #[serde(default)]
        unenforced: Option<String>,
    },
    /// The lab cannot come up.
    Failed {
        /// The instance that failed, if it is one that did.
        instance: Option<String>,
        /// Why.
        message: String,
        /// The last lines of its log.
        tail: Vec<String>,
        /// The exit code, where it is not that of any failure.
        #[serde(default)]
        code: Option<u8>,
    },
    /// The last words of a lab that was taken down. One that was killed has none.
    Ended,
}

/// What people call the state of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// Waits for what it depends on.
    Waiting,
    /// Runs; its health check has not passed yet.
    Starting,
    /// Runs, and has no health check.
    Running,
    /// Runs, and its health check passes.
    Healthy,
    /// Runs, and its health check fails.
    Unhealthy,
    /// Runs, and each of its processes is halted.
    Paused,
    /// Ended, and is started again after a pause.
    Restarting,
    /// Ended with success, for good.
    Completed,
    /// Ended with failure, for good.
    Failed,
    /// Was told to stop.
    Stopping,
    /// Was stopped.
    Stopped,
    /// Was stopped, and is no more.
    Removed,
}

impl InstanceState {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Removed => "removed",
        }
    }
}
