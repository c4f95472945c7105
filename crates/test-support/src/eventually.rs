//! Waiting for an observation, never for an amount of time.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::Result;

/// How long [`eventually`] keeps observing: far beyond what any of our events takes, so that a slow machine is no failure.
const DEADLINE: Duration = Duration::from_secs(20);
/// The pause between two observations.
const PAUSE: Duration = Duration::from_millis(10);

/// Repeats `observe` until it succeeds, and returns what it saw.
///
/// # Errors
/// The last observation's error, when 20 s have passed.
pub async fn eventually<T, F, Fut>(what: &str, observe: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    eventually_within(DEADLINE, what, observe).await
}

/// [`eventually`] with a deadline of the caller's choice.
///
/// # Errors
/// The last observation's error, when the deadline has passed.
pub async fn eventually_within<T, F, Fut>(
    deadline: Duration,
    what: &str,
    mut observe: F,
) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    #[expect(
        clippy::disallowed_methods,
        reason = "real servers are waited for by the real clock"
    )]
    let started = Instant::now();
    loop {
        match observe().await {
            Ok(seen) => return Ok(seen),
            Err(error) if started.elapsed() >= deadline => {
                return Err(error.context(format!("not within {deadline:?}: {what}")));
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn repeats_until_it_succeeds_and_reports_the_last_error() {
        let mut tries = 0;
        let seen = eventually("the third try", || {
            tries += 1;
            let tries = tries;
            async move {
                if tries < 3 {
                    anyhow::bail!("try {tries}")
                } else {
                    Ok(tries)
                }
            }
        })
        .await
        .unwrap();
        assert_eq!(seen, 3);

        let error = eventually_within::<(), _, _>(Duration::ZERO, "never", || async {
            anyhow::bail!("no")
        })
        .await
        .unwrap_err();
        assert_eq!(format!("{error:#}"), "not within 0ns: never: no");
    }
}
