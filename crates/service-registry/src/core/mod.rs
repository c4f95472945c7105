//! The registry's rules, without a clock, a socket or a lock: [`Table::decide`] takes an event and the time and answers
//! with what changed and what to probe.

mod decide;
mod history;
mod table;

use std::time::Duration;

use common::registry::{Change, Instance, InstanceId, ServiceName, State};
use time::OffsetDateTime;

pub use self::history::{History, Recorded};
pub use self::table::{Entry, Table};

/// A service and one of its instances.
pub type Key = (ServiceName, InstanceId);

/// A classic entry that does not pass for this long is removed.
pub const CLASSIC_CRITICAL: Duration = Duration::from_secs(60);
/// A classic entry may take this long to answer for the first time before it is critical.
pub const CLASSIC_WARMING: Duration = Duration::from_secs(10);
/// After this long without becoming ready, an instance is probed less often.
pub const IMPATIENT: Duration = Duration::from_secs(10);
/// How many failures in a row make a passing instance critical.
pub const FAILURES: u32 = 2;

/// Bounds and intervals.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Instances of all services.
    pub max_instances: usize,
    /// Open watches.
    pub max_watchers: usize,
    /// Changes kept.
    pub history: usize,
    /// Between probes of an instance that was ready once.
    pub probe_every: Duration,
    /// Between probes of one that was not (four times that once it is [`IMPATIENT`]).
    pub warming_every: Duration,
    /// For one probe.
    pub probe_timeout: Duration,
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// An instance registers or renews, with a lease.
    Register(Instance, OffsetDateTime),
    /// A classic client registers an address; no lease, it lives by its probe.
    RegisterClassic(Instance, OffsetDateTime),
    /// An instance wants no new work. With a generation: only if no newer one is known.
    Drain(Key, Option<u64>),
    /// An instance leaves. With a generation: only if no newer one is known.
    Deregister(Key, Option<u64>),
    /// Every classic entry of a service leaves.
    DeregisterClassic(ServiceName),
    /// A probe ended.
    Probed(Probe, bool),
    /// Time passed.
    Tick,
}

/// A probe to make: `GET http://<address><path>`, 2xx is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Of whom.
    pub key: Key,
    /// Of which registration: results of an earlier one are void.
    pub incarnation: u64,
    /// Where.
    pub address: std::net::SocketAddr,
    /// `/ready` until it was ready once, then `/health`.
    pub path: &'static str,
}

/// What came of an event.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// What is different now, in the order of revisions.
    pub changes: Vec<Change>,
    /// What to probe.
    pub probes: Vec<Probe>,
    /// Whether the event created something (201 rather than 200).
    pub created: bool,
    /// The state of the instance that the event was about.
    pub state: Option<State>,
}

/// Why an event was refused; nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A newer process has that id.
    #[error("generation {0} is known")]
    Generation(u64),
    /// There is no such instance.
    #[error("no such instance")]
    Unknown,
    /// [`Limits::max_instances`].
    #[error("the registry is full")]
    Full,
    /// A leased instance cannot be taken over by a classic call.
    #[error("an instance with a lease has that id")]
    Leased,
}

#[cfg(test)]
mod tests;
