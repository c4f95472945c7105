//! One instance, and what can be asked of it.

use std::time::Duration;

use super::event::State;
use super::probe::{Health, Prober};
use super::unit::Unit;
use crate::compose::Condition;
use crate::kernel::reaper::Exit;

/// An instance that ended this often in a row without being well in between is in a crash loop.
pub const CRASH_LOOP: u32 = 5;

/// An instance without a health check, or that has ended before, counts as up once it has run for this long.
pub const SETTLED: Duration = Duration::from_millis(500);

/// One instance and all that is known of it.
#[derive(Debug, Clone)]
pub struct Slot {
    /// What it is.
    pub unit: Unit,
    /// Where it is in its life.
    pub state: State,
    /// How often it was started again.
    pub restarts: u32,
    /// How it ended last.
    pub last_exit: Option<Exit>,
    /// How often it ended in a row without having been well for [`STREAK_RESET`](super::STREAK_RESET).
    pub streak: u32,
    /// Whether its present process has run for [`SETTLED`].
    pub(super) settled: bool,
    pub(super) prober: Prober,
}

impl Slot {
    /// What its health check says.
    #[must_use]
    pub fn health(&self) -> Health {
        match self.state {
            State::Running { .. } | State::Stopping { .. } => self.prober.health(),
            _ if self.unit.probe.is_some() => Health::Starting,
            _ => Health::Unchecked,
        }
    }

    /// Whether it keeps ending without being well in between.
    #[must_use]
    pub fn in_crash_loop(&self) -> bool {
        self.streak >= CRASH_LOOP
    }

    /// Whether it runs and, if it has a health check, passes it.
    #[must_use]
    pub fn is_well(&self) -> bool {
        matches!(self.state, State::Running { .. })
            && matches!(self.health(), Health::Healthy { .. } | Health::Unchecked)
    }

    /// As far as bringing the lab up goes: a program that ends at once must not be taken for one that runs. Nor must one that has
    /// ended before, on the word of a check that was quicker than its end.
    pub(super) fn is_up(&self) -> bool {
        self.is_well() && (self.settled || !self.must_settle())
    }

    /// Whether being up takes [`SETTLED`].
    pub(super) fn must_settle(&self) -> bool {
        self.unit.probe.is_none() || self.streak > 0
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended(_))
    }

    /// It completed: ended with success, and its restart policy leaves it at that.
    #[must_use]
    pub fn has_completed(&self) -> bool {
        matches!(self.state, State::Ended(Some(exit)) if exit.success())
    }

    pub(super) fn meets(&self, condition: Condition) -> bool {
        match condition {
            Condition::ServiceStarted => {
                matches!(self.state, State::Running { .. }) || self.has_completed()
            }
            Condition::ServiceHealthy => self.is_well(),
            Condition::ServiceCompletedSuccessfully => self.has_completed(),
        }
    }
}
