//! The instances of each service, shared by all workers: who is there, who may take work, who is next.
//!
//! Picking is lock-free (one atomic ticket, one pointer load); changes of membership, ejections and returns swap the whole set.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::Serialize;
use tokio::time::Instant;

use crate::balance::{self, Policy};
use crate::breaker::EjectionConfig;
use crate::endpoint::{Endpoint, InstanceReport, Target};
use crate::meters::ClusterMeters;
use crate::retry::{Budget, RetryConfig};

#[derive(Debug, Default)]
struct Members {
    /// Whom discovery names, ordered by id, so that a set with the same members has the same order.
    named: Vec<Arc<Endpoint>>,
    /// Those of them who may take work, in that order.
    eligible: Vec<Arc<Endpoint>>,
    /// Who is no longer named and had exchanges running: nothing new for them.
    draining: Vec<Arc<Endpoint>>,
}

/// A choice, and what a second choice needs to differ from it.
#[derive(Debug)]
pub struct Pick {
    /// The chosen instance.
    pub endpoint: Arc<Endpoint>,
    place: usize,
    members: Arc<Members>,
}

/// One service.
#[derive(Debug)]
pub struct Cluster {
    name: &'static str,
    policy: Policy,
    ejection: EjectionConfig,
    ticket: AtomicU64,
    members: ArcSwap<Members>,
    /// Held while `members` is replaced.
    change: Mutex<()>,
    epoch: Instant,
    /// When an ejected instance comes back, in ms since `epoch`; `u64::MAX` when none is out.
    next_return: AtomicU64,
    requests: AtomicU64,
    budget: Mutex<Budget>,
    meters: ClusterMeters,
}

impl Cluster {
    /// A service without instances.
    #[must_use]
    pub fn new(
        name: &'static str,
        policy: Policy,
        ejection: EjectionConfig,
        retry: &RetryConfig,
        now: Instant,
    ) -> Self {
        Self {
            name,
            policy,
            ejection,
            ticket: AtomicU64::new(0),
            members: ArcSwap::default(),
            change: Mutex::default(),
            epoch: now,
            next_return: AtomicU64::new(u64::MAX),
            requests: AtomicU64::new(0),
            budget: Mutex::new(Budget::new(retry, now)),
            meters: ClusterMeters::new(name),
        }
    }

    /// The service's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What is counted about it.
    #[must_use]
    pub fn meters(&self) -> &ClusterMeters {
        &self.meters
    }

    /// Takes over what discovery says. Instances that stay keep their state, and their place in the turn.
    pub fn apply(&self, mut targets: Vec<Target>, now: Instant) {
        targets.sort_by(|a, b| a.id.cmp(&b.id).then(a.generation.cmp(&b.generation)));
        let _changing = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.members.load_full();
        let named = targets.iter().map(|target| {
            let known = old
                .named
                .iter()
                .chain(&old.draining)
                .find(|endpoint| endpoint.is(target));
            known
                .cloned()
                .unwrap_or_else(|| Arc::new(Endpoint::new(self.name, target)))
        });
        let named: Vec<_> = named.collect();
        let gone = old
            .named
            .iter()
            .chain(&old.draining)
            .filter(|endpoint| !named.iter().any(|named| Arc::ptr_eq(named, endpoint)));
        let draining = gone
            .filter(|endpoint| endpoint.in_flight() > 0)
            .cloned()
            .collect();
        self.replace(named, draining, now);
    }

    /// The instance for a new request; `None` when no instance may take work.
    pub fn pick(&self, now: Instant) -> Option<Pick> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if self.millis(now) >= self.next_return.load(Ordering::Relaxed) {
            self.refresh(now);
        }
        let members = self.members.load_full();
        let ticket = self.ticket.fetch_add(1, Ordering::Relaxed);
        let place = balance::choose(self.policy, ticket, members.eligible.len(), |place| {
            members.eligible[place].in_flight()
        })?;
        Some(Pick {
            endpoint: Arc::clone(&members.eligible[place]),
            place,
            members,
        })
    }

    /// Another instance than those tried, after a failure; the turn of new requests is not touched.
    #[must_use]
    pub fn pick_another(&self, last: &Pick, tried: &[Arc<Endpoint>]) -> Option<Pick> {
        let members = &last.members;
        let current = self.members.load();
        let place = balance::another(last.place, members.eligible.len(), |place| {
            let candidate = &members.eligible[place];
            tried.iter().any(|tried| Arc::ptr_eq(tried, candidate))
                || !current
                    .eligible
                    .iter()
                    .any(|endpoint| Arc::ptr_eq(endpoint, candidate))
        })?;
        Some(Pick {
            endpoint: Arc::clone(&members.eligible[place]),
            place,
            members: Arc::clone(members),
        })
    }

    /// Whether the service can stand one more retry; takes it from the budget.
    pub fn may_retry(&self, now: Instant) -> bool {
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        budget.deposit(self.requests.swap(0, Ordering::Relaxed));
        budget.withdraw(now)
    }

    /// An exchange with `endpoint` failed in transport.
    pub fn failed(&self, endpoint: &Endpoint, now: Instant) {
        if endpoint.failed(now, &self.ejection) {
            self.meters.ejections.increment(1);
            let (service, instance) = (self.name, endpoint.id());
            tracing::warn!(service, instance, "ejected: its exchanges keep failing");
            self.refresh(now);
        }
    }

    /// Its instances, for people.
    #[must_use]
    pub fn report(&self, now: Instant) -> ClusterReport {
        let members = self.members.load();
        let named = members
            .named
            .iter()
            .map(|endpoint| endpoint.report(now, false));
        let draining = members
            .draining
            .iter()
            .map(|endpoint| endpoint.report(now, true))
            .filter(|report| report.in_flight > 0);
        ClusterReport {
            service: self.name,
            instances: named.chain(draining).collect(),
        }
    }

    /// Whether anyone may take work.
    #[must_use]
    pub fn is_served(&self) -> bool {
        !self.members.load().eligible.is_empty()
    }

    /// Leaves out those ejected at `now`, and lets the others back in.
    fn refresh(&self, now: Instant) {
        let _changing = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.members.load_full();
        self.replace(old.named.clone(), old.draining.clone(), now);
    }

    fn replace(&self, named: Vec<Arc<Endpoint>>, draining: Vec<Arc<Endpoint>>, now: Instant) {
        let returns = named
            .iter()
            .filter_map(|endpoint| endpoint.ejected_until(now))
            .min();
        let fit: Vec<_> = named
            .iter()
            .filter(|endpoint| endpoint.is_available(now))
            .cloned()
            .collect();
        // When everyone is out, the record says more about the network than about them: all may try.
        let eligible = if fit.is_empty() { named.clone() } else { fit };
        let next = returns.map_or(u64::MAX, |at| self.millis(at + Duration::from_millis(1)));
        self.next_return.store(next, Ordering::Relaxed);
        self.members.store(Arc::new(Members {
            named,
            eligible,
            draining,
        }));
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.epoch).as_millis()).unwrap_or(u64::MAX - 1)
    }
}

/// A service, as `/upstreams` shows it.
#[derive(Debug, Serialize)]
pub struct ClusterReport {
    service: &'static str,
    instances: Vec<InstanceReport>,
}

#[cfg(test)]
mod tests;
