//! One instance of a service: what workers share about it for as long as exchanges with it run.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderValue;
use serde::Serialize;
use tokio::time::Instant;

use crate::breaker::{Breaker, EjectionConfig};
use crate::meters::EndpointMeters;

/// An instance as discovery names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its id, unique within the service.
    pub id: String,
    /// Which life of the instance this is; another one starts with a clean record.
    pub generation: u64,
    /// Where it serves.
    pub address: SocketAddr,
}

/// One instance's shared state. It outlives its membership for as long as exchanges with it run.
pub struct Endpoint {
    id: String,
    generation: u64,
    address: SocketAddr,
    authority: HeaderValue,
    in_flight: AtomicUsize,
    breaker: Mutex<Breaker>,
    /// Whether `breaker` holds anything that a success would clear: spares the lock on the good path.
    marked: AtomicBool,
    meters: EndpointMeters,
}

impl Endpoint {
    /// A new instance, with a clean record.
    #[must_use]
    pub fn new(service: &str, target: &Target) -> Self {
        let authority = target.address.to_string();
        Self {
            id: target.id.clone(),
            generation: target.generation,
            address: target.address,
            authority: HeaderValue::from_str(&authority)
                .expect("a socket address is a header value"),
            in_flight: AtomicUsize::new(0),
            breaker: Mutex::default(),
            marked: AtomicBool::new(false),
            meters: EndpointMeters::new(service, &target.id),
        }
    }

    /// Whether this is that instance, in that life of it.
    #[must_use]
    pub fn is(&self, target: &Target) -> bool {
        self.id == target.id
            && self.generation == target.generation
            && self.address == target.address
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where it serves.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The `Host` of requests to it.
    #[must_use]
    pub fn authority(&self) -> &HeaderValue {
        &self.authority
    }

    /// What is counted about it.
    #[must_use]
    pub fn meters(&self) -> &EndpointMeters {
        &self.meters
    }

    /// Its state, for people; `draining` when discovery no longer names it.
    #[must_use]
    pub fn report(&self, now: Instant, draining: bool) -> InstanceReport {
        let ejected = self.ejected_until(now).map(|until| until - now);
        InstanceReport {
            id: self.id.clone(),
            address: self.address,
            state: match (draining, ejected) {
                (true, _) => "draining",
                (false, Some(_)) => "ejected",
                (false, None) => "active",
            },
            in_flight: self.in_flight(),
            ejected_for_ms: ejected.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    /// Exchanges running.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether it is not ejected at `now`.
    #[must_use]
    pub fn is_available(&self, now: Instant) -> bool {
        self.breaker().available(now)
    }

    /// When its present ejection ends.
    #[must_use]
    pub fn ejected_until(&self, now: Instant) -> Option<Instant> {
        self.breaker().ejected_until(now)
    }

    /// An exchange brought an answer.
    pub fn succeeded(&self, now: Instant) {
        if self.marked.load(Ordering::Relaxed) {
            let mut breaker = self.breaker();
            breaker.success(now);
            self.marked.store(!breaker.is_clean(), Ordering::Relaxed);
        }
    }

    /// An exchange failed in transport; `true` when that ejects the instance.
    pub fn failed(&self, now: Instant, config: &EjectionConfig) -> bool {
        self.marked.store(true, Ordering::Relaxed);
        self.breaker().failure(now, config)
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.id, self.address)
    }
}

/// One exchange with an instance, counted while it lives.
#[derive(Debug)]
pub struct InFlight(Arc<Endpoint>);

impl InFlight {
    /// Counts an exchange with `endpoint`.
    #[must_use]
    pub fn begin(endpoint: Arc<Endpoint>) -> Self {
        endpoint.in_flight.fetch_add(1, Ordering::Relaxed);
        endpoint.meters.in_flight.increment(1.0);
        Self(endpoint)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.meters.in_flight.decrement(1.0);
    }
}

/// An instance, as `/upstreams` shows it.
#[derive(Debug, Serialize)]
pub struct InstanceReport {
    id: String,
    address: SocketAddr,
    state: &'static str,
    /// Exchanges running.
    pub in_flight: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    ejected_for_ms: Option<u64>,
}
