//! What has been tried, and this test's clock.

use std::time::Instant;

pub(crate) use test_support::Steps;

/// This test's clock.
#[expect(clippy::disallowed_methods, reason = "it measures real processes")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
