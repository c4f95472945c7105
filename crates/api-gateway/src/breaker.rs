//! Passive ejection: an instance whose exchanges keep failing gets no work for a while.
//!
//! Only failures of the transport count (no connection, no answer, an answer cut short, a deadline): a 5xx is an answer, often about something
//! behind the instance, and ejecting for it would take one route's outage to all the others.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// When to eject, and for how long.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EjectionConfig {
    /// Failures in a row that eject an instance.
    pub consecutive: u32,
    /// The first ejection's length, in milliseconds; each one after it, without a success between, doubles.
    pub base_ms: u64,
    /// The longest ejection, in milliseconds.
    pub max_ms: u64,
}

impl Default for EjectionConfig {
    fn default() -> Self {
        Self {
            consecutive: 5,
            base_ms: 1_000,
            max_ms: 30_000,
        }
    }
}

/// One instance's record.
#[derive(Debug, Clone, Default)]
pub struct Breaker {
    failures: u32,
    ejections: u32,
    until: Option<Instant>,
}

impl Breaker {
    /// Whether the instance may take work at `now`.
    #[must_use]
    pub fn available(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until <= now)
    }

    /// When the present ejection ends; `None` when there is none at `now`.
    #[must_use]
    pub fn ejected_until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }

    /// Whether there is anything a success would clear.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.failures == 0 && self.ejections == 0 && self.until.is_none()
    }

    /// An exchange went well: the record is clean, but an ejection that is running runs out.
    pub fn success(&mut self, now: Instant) {
        if self.available(now) {
            *self = Self::default();
        }
    }

    /// An exchange failed. `true` when that ejects the instance now. After an ejection the first failure ejects again.
    pub fn failure(&mut self, now: Instant, config: &EjectionConfig) -> bool {
        if !self.available(now) {
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        if self.ejections == 0 && self.failures < config.consecutive.max(1) {
            return false;
        }
        let doubled = config
            .base_ms
            .saturating_mul(1 << self.ejections.min(20))
            .min(config.max_ms);
        self.until = Some(now + Duration::from_millis(doubled));
        self.ejections = self.ejections.saturating_add(1);
        self.failures = 0;
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CONFIG: EjectionConfig = EjectionConfig {
        consecutive: 3,
        base_ms: 1_000,
        max_ms: 3_000,
    };

    fn epoch() -> Instant {
        common::clock::now()
    }

    #[test]
    fn ejects_after_failures_in_a_row_only() {
        let (mut breaker, now) = (Breaker::default(), epoch());
        for _ in 0..2 {
            assert!(!breaker.failure(now, &CONFIG));
        }
        breaker.success(now);
        assert!(breaker.is_clean());
        assert!(!breaker.failure(now, &CONFIG));
        assert!(!breaker.failure(now, &CONFIG));
        assert!(breaker.failure(now, &CONFIG));
        assert!(!breaker.available(now));
        assert_eq!(
            breaker.ejected_until(now),
            Some(now + Duration::from_secs(1))
        );
    }

    #[test]
    fn comes_back_on_probation_and_stays_out_longer_each_time() {
        let (mut breaker, mut now) = (Breaker::default(), epoch());
        for _ in 0..3 {
            breaker.failure(now, &CONFIG);
        }
        for seconds in [1, 2, 3, 3] {
            let until = breaker.ejected_until(now).unwrap();
            assert_eq!(until - now, Duration::from_secs(seconds));
            now = until;
            assert!(breaker.available(now));
            assert!(breaker.failure(now, &CONFIG));
        }
        now = breaker.ejected_until(now).unwrap();
        breaker.success(now);
        assert!(breaker.is_clean());
    }

    proptest! {
        #[test]
        fn an_ejection_ends_within_the_longest(steps in prop::collection::vec((any::<bool>(), 0u64..2_000), 0..60)) {
            let (mut breaker, mut now) = (Breaker::default(), epoch());
            for (ok, pause) in steps {
                now += Duration::from_millis(pause);
                if ok { breaker.success(now) } else { breaker.failure(now, &CONFIG); }
                if let Some(until) = breaker.ejected_until(now) {
                    prop_assert!(until - now <= Duration::from_millis(CONFIG.max_ms));
                }
                prop_assert!(breaker.available(now + Duration::from_millis(CONFIG.max_ms)));
            }
        }
    }
}
