//! The one place of the lab that reads a clock.

#![expect(clippy::disallowed_methods, reason = "this is the clock module")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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

/// Milliseconds since 1970-01-01 00:00 UTC, by the machine's clock, which may be set.
#[must_use]
pub fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, millis)
}

/// Nanoseconds since 1970-01-01 00:00 UTC, by the same clock.
#[must_use]
pub fn unix_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, nanoseconds)
}

/// A duration in nanoseconds, as usage is counted.
#[must_use]
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A duration in whole milliseconds, as reports give it.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
