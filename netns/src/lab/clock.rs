//! The one place of the lab that reads a clock.

#![expect(clippy::disallowed_methods, reason = "this is the clock module")]

use std::time::{Duration, Instant};

/// Counts from the moment it was made, monotonically.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    /// Starts counting.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since it was started.
    #[must_use]
    pub fn now(self) -> Duration {
        self.0.elapsed()
    }

    /// The moment at which [`Clock::now`] will be `time`, for timers.
    #[must_use]
    pub fn instant(self, time: Duration) -> Instant {
        self.0 + time
    }
}

/// A duration in whole milliseconds, as reports give it.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
