//! The public contract of the shop, checked black-box against any running deployment.
//!
//! One suite for every way of running the shop: it speaks HTTP to the gateway and knows nothing else. It may be run again and
//! again against a living shop: what it creates carries random ids, what it takes from stock it gives back.
//!
//! A check is a plain async function over a [`Shop`]; [`areas`] lists them.

mod answer;
pub mod areas;
mod raw;
mod report;
mod shop;

pub use answer::Answer;
pub use report::{Outcome, Report, Verdict};
pub use shop::Shop;

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// No single check takes longer than this; one that does has met an answer that never comes.
const CHECK_DEADLINE: Duration = Duration::from_secs(60);

/// What a running check is.
pub type Checking<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

/// One statement of the contract and the function that tries it.
pub struct Check {
    /// The statement, as it is printed.
    pub name: &'static str,
    /// Whether it can only be tried with the admin token.
    pub needs_admin: bool,
    /// Tries it.
    pub run: for<'a> fn(&'a Shop) -> Checking<'a>,
}

/// Checks of one subject.
pub struct Area {
    /// The subject.
    pub name: &'static str,
    /// In the order they are tried.
    pub checks: Vec<Check>,
}

/// Runs every check, one after the other, telling `each` about every verdict as it falls.
pub async fn run(shop: &Shop, mut each: impl FnMut(&Verdict)) -> Report {
    let mut verdicts = Vec::new();
    for area in areas::all() {
        for check in area.checks {
            let started = now();
            let outcome = if check.needs_admin && !shop.has_admin_token() {
                Outcome::Skipped {
                    why: "needs --admin-token".into(),
                }
            } else {
                let result = tokio::time::timeout(CHECK_DEADLINE, (check.run)(shop)).await;
                match result.unwrap_or_else(|_| Err(anyhow!("not done within {CHECK_DEADLINE:?}")))
                {
                    Ok(()) => Outcome::Ok,
                    Err(error) => Outcome::Failed {
                        why: format!("{error:#}"),
                    },
                }
            };
            let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            let verdict = Verdict {
                area: area.name,
                name: check.name,
                milliseconds,
                outcome,
            };
            each(&verdict);
            verdicts.push(verdict);
        }
    }
    Report::new(shop.base_url().to_owned(), verdicts)
}

/// This crate's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "a suite that measures a running shop reads the real clock, here only"
)]
fn now() -> Instant {
    Instant::now()
}

/// Repeats an observation of a shop that other people use too, until it holds or ten seconds have passed.
///
/// # Errors
/// The last observation's error.
async fn eventually<T, Fut: Future<Output = Result<T>>>(
    mut observe: impl FnMut() -> Fut,
) -> Result<T> {
    let started = now();
    loop {
        match observe().await {
            Err(_) if started.elapsed() < Duration::from_secs(10) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            seen => return seen,
        }
    }
}
