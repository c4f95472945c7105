//! The only place that reads clocks and randomness, so that cores take them as parameters and tests can hold them still.

#![expect(
    clippy::disallowed_methods,
    reason = "this is the module that the ban points to"
)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::RngExt;
use time::OffsetDateTime;
use tokio::time::Instant;
use uuid::Uuid;

/// Monotonic time; stands still under `tokio::time::pause`.
pub fn now() -> Instant {
    Instant::now()
}

/// The calendar, for people and for records: never for measuring how long something took.
pub fn utc() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

/// Milliseconds since 1970: what a generation is made from.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A new UUIDv7 whose tail is fully random (no counter), so that it cannot be guessed from its neighbours.
pub fn uuid_v7() -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(unix_ms(), &rand::random()).into_uuid()
}

/// `duration`, lengthened or shortened by up to `fraction` of itself (0.1: ten per cent).
pub fn jitter(duration: Duration, fraction: f64) -> Duration {
    duration.mul_f64(1.0 + fraction * rand::rng().random_range(-1.0..=1.0))
}

/// 64 random bits.
pub fn random_u64() -> u64 {
    rand::random()
}

/// 128 random bits.
pub fn random_u128() -> u128 {
    rand::random()
}
