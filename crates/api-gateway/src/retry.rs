//! Whether a failed try may be made again, and how many retries a service can stand.

use std::time::Duration;

use http::Method;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// How often, and how much.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryConfig {
    /// Retries of one request, beyond its first try.
    pub attempts: u32,
    /// Retries in proportion to requests, in percent: what keeps a failing service from being hit harder for failing.
    pub budget_percent: u32,
    /// Retries a second that are always allowed, so that a quiet service may retry at all.
    pub budget_min_per_second: u32,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            attempts: 2,
            budget_percent: 20,
            budget_min_per_second: 10,
        }
    }
}

/// How a try failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No byte of the request reached the instance: refused, unreachable, not connected in time, or the pooled connection was
    /// found closed before the request was written.
    NotSent,
    /// The request, or some of it, was sent; the connection ended without an answer. The instance may have acted on it.
    NoAnswer,
    /// The request was sent and no answer came within the try's deadline. The instance may still be acting on it.
    TryDeadline,
}

/// What the decision needs to know of a request.
#[derive(Debug, Clone, Copy)]
pub struct Repeatable {
    /// Doing it twice is doing it once: by its method (RFC 9110, 9.2.2) or because the client keyed it.
    pub idempotent: bool,
    /// It only reads (RFC 9110, 9.2.1): an instance that is slow to answer can be left alone with it.
    pub read: bool,
    /// The whole body is at hand (or there is none).
    pub body_kept: bool,
}

impl Repeatable {
    /// Reads the properties off a request.
    #[must_use]
    pub fn of(method: &Method, keyed: bool, body_kept: bool) -> Self {
        Self {
            idempotent: method.is_idempotent() || keyed,
            read: matches!(*method, Method::GET | Method::HEAD),
            body_kept,
        }
    }

    /// Whether the request may be sent again after `failure`. `NotSent` presumes that the body, too, is untouched.
    #[must_use]
    pub fn after(self, failure: Failure) -> bool {
        match failure {
            Failure::NotSent => true,
            Failure::NoAnswer | Failure::TryDeadline => self.idempotent && self.body_kept,
        }
    }
}

/// A token bucket of retries, in thousandths of one. Requests fill it by the percentage, time by the minimum; it never holds more
/// than ten seconds of the minimum or a hundred retries, whichever is more.
#[derive(Debug)]
pub struct Budget {
    thousandths: u64,
    ceiling: u64,
    per_request: u64,
    per_second: u64,
    refilled: Instant,
}

impl Budget {
    /// A bucket holding one second of the minimum.
    #[must_use]
    pub fn new(config: &RetryConfig, now: Instant) -> Self {
        let per_second = u64::from(config.budget_min_per_second) * 1_000;
        Self {
            thousandths: per_second,
            ceiling: (per_second * 10).max(100_000),
            per_request: u64::from(config.budget_percent) * 10,
            per_second,
            refilled: now,
        }
    }

    /// Counts `requests` first tries.
    pub fn deposit(&mut self, requests: u64) {
        self.thousandths = self
            .thousandths
            .saturating_add(requests.saturating_mul(self.per_request))
            .min(self.ceiling);
    }

    /// Takes one retry out, if there is one.
    pub fn withdraw(&mut self, now: Instant) -> bool {
        let elapsed = now
            .saturating_duration_since(self.refilled)
            .min(Duration::from_secs(10));
        let earned = u64::try_from(elapsed.as_millis()).unwrap_or(10_000) * self.per_second / 1_000;
        if earned > 0 {
            self.refilled = now;
            self.thousandths = self.thousandths.saturating_add(earned).min(self.ceiling);
        }
        let enough = self.thousandths >= 1_000;
        if enough {
            self.thousandths -= 1_000;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_is_safe_is_repeated() {
        let get = Repeatable::of(&Method::GET, false, true);
        let post = Repeatable::of(&Method::POST, false, true);
        let keyed = Repeatable::of(&Method::POST, true, true);
        let upload = Repeatable::of(&Method::PUT, false, false);
        for request in [get, post, keyed, upload] {
            assert!(request.after(Failure::NotSent));
        }
        for failure in [Failure::NoAnswer, Failure::TryDeadline] {
            assert!(get.after(failure) && keyed.after(failure));
            assert!(!post.after(failure) && !upload.after(failure));
        }
        assert!(!Repeatable::of(&Method::PATCH, false, true).idempotent);
    }

    proptest! {
        #[test]
        fn retries_stay_within_the_budget(steps in prop::collection::vec((0u64..50, 0u64..1_500, 0u32..30), 1..40)) {
            let config = RetryConfig::default();
            let start = common::clock::now();
            let (mut budget, mut now) = (Budget::new(&config, start), start);
            let (mut requests, mut retries) = (0u64, 0u64);
            for (arrivals, pause, wanted) in steps {
                requests += arrivals;
                budget.deposit(arrivals);
                now += Duration::from_millis(pause);
                for _ in 0..wanted {
                    retries += u64::from(budget.withdraw(now));
                }
            }
            let earned = requests * 200 + 10_000 + u64::try_from((now - start).as_millis()).unwrap() * 10;
            prop_assert!(retries * 1_000 <= earned, "{retries} retries for {requests} requests");
        }

        #[test]
        fn a_quiet_service_may_retry(pause in 100u64..100_000) {
            let start = common::clock::now();
            let mut budget = Budget::new(&RetryConfig::default(), start);
            while budget.withdraw(start) {}
            prop_assert!(budget.withdraw(start + Duration::from_millis(pause)));
        }
    }
}
