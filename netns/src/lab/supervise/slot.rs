//! One instance, and what can be asked of it.

use std::time::Duration;

use super::Time;
use super::event::{Grace, State, Wanted};
use super::probe::{Health, Prober};
use super::unit::Unit;
use crate::compose::Condition;
use crate::kernel::reaper::Exit;

/// An instance that ended this often in a row without being well in between is in a crash loop.
pub const CRASH_LOOP: u32 = 5;

/// An instance without a health check, or that has ended before, counts as up once it has run for this long.
pub const SETTLED: Duration = Duration::from_millis(500);

/// How long a start may take before it is given up: far beyond what a loaded machine needs.
pub const START_PATIENCE: Duration = Duration::from_secs(30);
/// How long it may still take when the instance is to stop: what has just begun to run is then stopped in order.
pub const START_GRACE: Duration = Duration::from_secs(2);

/// One instance and all that is known of it.
#[derive(Debug, Clone)]
pub struct Slot {
    /// What it is.
    pub unit: Unit,
    /// Where it is in its life.
    pub state: State,
    /// What is wanted of it.
    pub wanted: Wanted,
    /// How often its restart policy has started it again since a person started it.
    pub restarts: u32,
    /// How it ended last.
    pub last_exit: Option<Exit>,
    /// How often it ended in a row without having been well for [`STREAK_RESET`](super::STREAK_RESET).
    pub streak: u32,
    /// Whether its present process has run for [`SETTLED`].
    pub(super) settled: bool,
    /// Whether it is to be stopped and started again.
    pub(super) again: bool,
    pub(super) grace: Grace,
    pub(super) prober: Prober,
}

impl Slot {
    pub(super) fn new(unit: Unit) -> Self {
        Self {
            prober: Prober::new(unit.probe),
            unit,
            state: State::Waiting,
            wanted: Wanted::Running,
            restarts: 0,
            last_exit: None,
            streak: 0,
            settled: false,
            again: false,
            grace: None,
        }
    }

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
            && !self.again
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

    /// Whether it is still to come to rest: it has a process, or is about to have one.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.is_alive() || self.again
    }

    /// Whether it has a process, or is about to have one.
    pub(super) fn is_alive(&self) -> bool {
        matches!(
            self.state,
            State::Starting { .. } | State::Running { .. } | State::Stopping { .. }
        )
    }

    /// Whether it has no process and is not going to have one.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended(_) | State::Stopped)
    }

    /// Whether its present process, if it has one, is to end.
    pub(super) fn must_end(&self) -> bool {
        self.wanted != Wanted::Running || self.again
    }

    /// Whether it stands as is wanted of it.
    #[must_use]
    pub fn is_as_wanted(&self) -> bool {
        match self.wanted {
            Wanted::Running => self.is_up() || self.has_completed(),
            Wanted::Held => self.has_ended(),
            Wanted::Gone => false,
        }
    }

    /// It completed: ended with success, and its restart policy leaves it at that.
    #[must_use]
    pub fn has_completed(&self) -> bool {
        matches!(self.state, State::Ended(exit) if exit.success()) && !self.again
    }

    pub(super) fn meets(&self, condition: Condition) -> bool {
        if self.again || (self.must_end() && self.is_alive()) {
            return false;
        }
        match condition {
            Condition::ServiceStarted => {
                matches!(self.state, State::Running { .. }) || self.has_completed()
            }
            Condition::ServiceHealthy => self.is_well(),
            Condition::ServiceCompletedSuccessfully => self.has_completed(),
        }
    }

    /// It is to start as if for the first time: what its earlier processes did no longer counts.
    pub(super) fn begin_anew(&mut self) {
        self.state = State::Waiting;
        self.again = false;
        self.grace = None;
        self.restarts = 0;
        self.streak = 0;
    }

    /// Its process has ended, or there was none, and it was to end: what it is from now on.
    pub(super) fn rest(&mut self) {
        match (self.again, self.state) {
            (true, _) => self.begin_anew(),
            (false, State::Ended(_)) => {}
            (false, _) => self.state = State::Stopped,
        }
    }

    /// It is being started, and is to stop: it is waited for no longer than a start takes that does not hang.
    pub(super) fn hurry_start(&mut self, now: Time) {
        if let State::Starting {
            give_up_at: Some(at),
        } = self.state
        {
            let grace = self.grace.unwrap_or(START_GRACE).min(START_GRACE);
            self.state = State::Starting {
                give_up_at: Some(at.min(now + grace)),
            };
        }
    }

    /// The end of the grace period of one that is told to stop now.
    pub(super) fn kill_at(&self, now: Time) -> Time {
        now + self.grace.unwrap_or(self.unit.stop_grace)
    }
}
