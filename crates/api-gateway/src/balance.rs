//! Which instance takes the next request.
//!
//! Round robin is exact: every request takes one ticket from one counter shared by all workers, and the ticket alone decides. Over
//! `k` stable instances, any number of requests, taken in any interleaving, leaves the counts at most 1 apart. A retry takes no
//! ticket, so that failures elsewhere do not bend the spread.

use serde::{Deserialize, Serialize};

/// How instances are chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// In turn, exactly.
    #[default]
    RoundRobin,
    /// The instance with the fewest requests in flight; in turn among equals.
    LeastRequest,
}

/// The place, in a stably ordered set of `len` instances, that `ticket` falls on. `None` when the set is empty.
///
/// `in_flight` is asked only under [`Policy::LeastRequest`].
#[must_use]
pub fn choose(
    policy: Policy,
    ticket: u64,
    len: usize,
    in_flight: impl Fn(usize) -> usize,
) -> Option<usize> {
    let first = in_turn(ticket, len)?;
    Some(match policy {
        Policy::RoundRobin => first,
        Policy::LeastRequest => ring(first, len)
            .min_by_key(|&place| in_flight(place))
            .unwrap_or(first),
    })
}

/// The next place after `from` that was not tried yet. `None` when all were.
#[must_use]
pub fn another(from: usize, len: usize, tried: impl Fn(usize) -> bool) -> Option<usize> {
    (len > 0)
        .then(|| ring((from + 1) % len, len).find(|&place| !tried(place)))
        .flatten()
}

fn in_turn(ticket: u64, len: usize) -> Option<usize> {
    let len = u64::try_from(len).ok().filter(|len| *len > 0)?;
    usize::try_from(ticket % len).ok()
}

fn ring(first: usize, len: usize) -> impl Iterator<Item = usize> {
    (first..len).chain(0..first.min(len))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_set_has_no_instance() {
        assert_eq!(choose(Policy::RoundRobin, 7, 0, |_| 0), None);
        assert_eq!(another(0, 0, |_| false), None);
    }

    #[test]
    fn least_request_prefers_the_idle_and_turns_among_equals() {
        let load = [2, 0, 1, 0];
        assert_eq!(
            choose(Policy::LeastRequest, 0, 4, |place| load[place]),
            Some(1)
        );
        assert_eq!(
            choose(Policy::LeastRequest, 2, 4, |place| load[place]),
            Some(3)
        );
        assert_eq!(choose(Policy::LeastRequest, 3, 4, |_| 5), Some(3));
    }

    #[test]
    fn a_retry_goes_to_the_next_untried() {
        assert_eq!(another(2, 3, |place| place == 2), Some(0));
        assert_eq!(another(2, 3, |place| place != 1), Some(1));
        assert_eq!(another(0, 1, |_| true), None);
    }

    proptest! {
        #[test]
        fn counts_differ_by_at_most_one(instances in 1usize..9, requests in 0u64..500, first in any::<u32>()) {
            let mut counts = vec![0u64; instances];
            for ticket in 0..requests {
                counts[choose(Policy::RoundRobin, u64::from(first) + ticket, instances, |_| 0).unwrap()] += 1;
            }
            prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1);
        }
    }

    #[test]
    fn counts_differ_by_at_most_one_across_threads() {
        let ticket = AtomicU64::new(0);
        let counts: [AtomicUsize; 3] = Default::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2_500 {
                        let place = choose(
                            Policy::RoundRobin,
                            ticket.fetch_add(1, Ordering::Relaxed),
                            3,
                            |_| 0,
                        )
                        .unwrap();
                        counts[place].fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        let mut counts = counts.map(AtomicUsize::into_inner);
        counts.sort_unstable();
        assert_eq!(counts, [3_333, 3_333, 3_334]);
    }
}
