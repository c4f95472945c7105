//! When an instance's health check runs, and what its answers add up to.

use std::time::Duration;

use super::Time;

/// The pause between checks until the first one succeeds.
pub const FAST_PROBE: Duration = Duration::from_millis(100);

/// A health check's times (the Compose Specification's `healthcheck`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeTimes {
    /// The pause between two checks once one has succeeded.
    pub interval: Duration,
    /// Failures in a row that make the instance unhealthy.
    pub retries: u32,
    /// Failures in this first stretch do not count.
    pub start_period: Duration,
}

/// What the health check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// There is no health check.
    Unchecked,
    /// No check has succeeded yet, and it is too early to call it unhealthy.
    Starting,
    /// It passes.
    Healthy {
        /// Since then.
        since: Time,
    },
    /// It failed too often in a row.
    Unhealthy,
}

/// One instance's checks.
#[derive(Debug, Clone)]
pub(super) struct Prober {
    times: Option<ProbeTimes>,
    health: Health,
    began: Time,
    failures: u32,
    counted_at: Option<Time>,
    due: Option<Time>,
}

impl Prober {
    pub(super) fn new(times: Option<ProbeTimes>) -> Self {
        let health = if times.is_some() {
            Health::Starting
        } else {
            Health::Unchecked
        };
        Self {
            times,
            health,
            began: Time::ZERO,
            failures: 0,
            counted_at: None,
            due: None,
        }
    }

    pub(super) fn health(&self) -> Health {
        self.health
    }

    pub(super) fn due_at(&self) -> Option<Time> {
        self.due
    }

    /// The instance was started: forget what was known of the earlier process.
    pub(super) fn begin(&mut self, times: Option<ProbeTimes>, now: Time) {
        *self = Self {
            began: now,
            due: times.map(|_| now),
            ..Self::new(times)
        };
    }

    /// The instance ended: no check is due any more.
    pub(super) fn stop(&mut self) {
        self.due = None;
    }

    /// Whether a check is due; if so it is under way from now on.
    pub(super) fn take_due(&mut self, now: Time) -> bool {
        let due = self.due.is_some_and(|at| at <= now);
        if due {
            self.due = None;
        }
        due
    }

    /// How long the instance has been well.
    pub(super) fn well_for(&self, started: Time, now: Time) -> Duration {
        match self.health {
            Health::Unchecked => now.saturating_sub(started),
            Health::Healthy { since } => now.saturating_sub(since),
            Health::Starting | Health::Unhealthy => Duration::ZERO,
        }
    }

    /// A check ended.
    ///
    /// Until the first success checks come fast, so a failure only counts when the check's own interval has passed since the
    /// last one that counted: `retries` keeps the meaning it has in the file.
    pub(super) fn ended(&mut self, ok: bool, now: Time) {
        let Some(times) = self.times else { return };
        if ok {
            self.failures = 0;
            self.counted_at = None;
            if !matches!(self.health, Health::Healthy { .. }) {
                self.health = Health::Healthy { since: now };
            }
        } else {
            let early = self.health == Health::Starting && now < self.began + times.start_period;
            let counts = !early && self.counted_at.is_none_or(|at| now >= at + times.interval);
            if counts {
                self.failures = self.failures.saturating_add(1);
                self.counted_at = Some(now);
            }
            if self.failures >= times.retries.max(1) {
                self.health = Health::Unhealthy;
            }
        }
        let pause = if self.health == Health::Starting {
            FAST_PROBE.min(times.interval)
        } else {
            times.interval
        };
        self.due = Some(now + pause);
    }
}
