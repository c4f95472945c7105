//! What a customer makes of a shop that is busy.

use std::time::Duration;

use reqwest::Response;

/// When to come again, if that is the answer: 503 with `Retry-After` in seconds (RFC 9110, section 10.2.3).
#[must_use]
pub fn comes_again(answer: &Response) -> Option<Duration> {
    let seconds = answer.headers().get("retry-after")?;
    let seconds = seconds.to_str().ok()?.parse().ok()?;
    (answer.status() == 503).then(|| Duration::from_secs(seconds))
}
