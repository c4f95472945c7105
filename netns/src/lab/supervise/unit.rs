//! What the supervisor has to know of an instance.

use std::time::Duration;

use crate::compose::{Condition, Restart};
use crate::kernel::reaper::Exit;

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
    /// Whether a person's restart of that service restarts this one too.
    pub restart: bool,
}

/// Whether an instance that ended so, after `restarts` earlier restarts, is started again.
///
/// What a person has stopped is not asked about: it stays stopped under every policy. In Docker `always` differs from `unless-stopped`
/// in what a boot of the machine starts; a lab does not outlive one, so here they are the same.
#[must_use]
pub(super) fn restarts_again(policy: Restart, exit: Exit, restarts: u32) -> bool {
    match policy {
        Restart::No => false,
        Restart::Always | Restart::UnlessStopped => true,
        Restart::OnFailure { max_retries } => {
            !exit.success() && max_retries.is_none_or(|most| restarts < most)
        }
    }
}

/// How an instance that could not be started at all is said to have ended (the shell's "cannot execute").
pub const NOT_STARTED: Exit = Exit::Code(126);
