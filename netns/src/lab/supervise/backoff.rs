//! The pause before an instance that ended is started again.

use std::time::Duration;

/// The first pause; each further one is twice as long.
const FIRST: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(30);
/// An instance that was well for this long starts over with the first pause.
pub const STREAK_RESET: Duration = Duration::from_secs(10);

/// The pause after `streak` earlier ends in a row: 100 ms, doubled each time, at most 30 s.
#[must_use]
pub fn restart_delay(streak: u32) -> Duration {
    FIRST
        .saturating_mul(1_u32.checked_shl(streak.min(31)).unwrap_or(u32::MAX))
        .min(LONGEST)
}
