//! What the supervisor has to know of an instance.

use std::time::Duration;

use super::probe::ProbeTimes;

/// One instance, as far as supervising it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Its own name, as in `product-service-1`.
    pub name: String,
    /// The service it is an instance of.
    pub service: String,
    /// What must have been reached before it starts.
    pub after: Vec<Dependency>,
    /// Whether it is started again after it ended.
    pub restart: Restart,
    /// Its health check's times; `None`: it has no health check.
    pub probe: Option<ProbeTimes>,
    /// How long it may take to stop before it is killed.
    pub stop_grace: Duration,
}

/// One entry of `depends_on`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The service depended on: every instance of it.
    pub service: String,
    /// What each of its instances must have reached.
    pub condition: Condition,
}

/// What a dependency must have reached (the Compose Specification's `depends_on.condition`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// `service_started`.
    Started,
    /// `service_healthy`.
    Healthy,
    /// `service_completed_successfully`.
    Completed,
}

/// Whether an instance that ended is started again (the Compose Specification's `restart`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// `no`.
    Never,
    /// `always` and `unless-stopped`: nothing is stopped by hand and started by a boot here, so they mean the same.
    Always,
    /// `on-failure`, or `on-failure:<at most>`.
    OnFailure(Option<u32>),
}

impl Restart {
    /// Whether an instance that ended so, after `restarts` earlier restarts, is started again.
    #[must_use]
    pub fn applies(self, exit: Exit, restarts: u32) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::OnFailure(at_most) => {
                !exit.is_success() && at_most.is_none_or(|most| restarts < most)
            }
        }
    }
}

/// How a process ended, as a shell would say it: its exit code, or 128 and the signal's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit(pub i32);

impl Exit {
    /// It could not be started at all (the shell's "cannot execute").
    pub const NOT_STARTED: Self = Self(126);

    /// Whether it ended with success.
    #[must_use]
    pub fn is_success(self) -> bool {
        self.0 == 0
    }
}
