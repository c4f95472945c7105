//! What the registry knows.

use std::collections::BTreeMap;
use std::ops::Bound;

use common::registry::{Change, Instance, InstanceId, ServiceName, State, Status};
use time::OffsetDateTime;
use tokio::time::Instant;

use super::{CLASSIC_CRITICAL, CLASSIC_WARMING, Key, Limits};

/// Everything about one instance.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What it registered.
    pub instance: Instance,
    /// Whether it may be given work.
    pub state: State,
    /// When it registered (not when it renewed).
    pub registered_at: OffsetDateTime,
    /// Until when it lives without a renewal; `None` for classic entries.
    pub(super) expires: Option<Instant>,
    pub(super) state_since: Instant,
    pub(super) failures: u32,
    pub(super) probe_due: Instant,
    pub(super) probing: bool,
    pub(super) incarnation: u64,
}

impl Entry {
    /// The instance with its state.
    pub fn status(&self) -> Status {
        Status {
            instance: self.instance.clone(),
            state: self.state,
        }
    }

    /// Whether a classic call made it.
    pub fn is_classic(&self) -> bool {
        self.expires.is_none()
    }

    /// The next time at which something about it changes by itself.
    fn deadline(&self) -> Option<Instant> {
        let probe = (!self.probing && self.state != State::Draining).then_some(self.probe_due);
        let patience = match (self.is_classic(), self.state) {
            (true, State::Warming) => Some(self.state_since + CLASSIC_WARMING),
            (true, State::Critical) => Some(self.state_since + CLASSIC_CRITICAL),
            _ => None,
        };
        [probe, patience, self.expires].into_iter().flatten().min()
    }
}

/// All instances of all services.
#[derive(Debug)]
pub struct Table {
    pub(super) entries: BTreeMap<Key, Entry>,
    pub(super) limits: Limits,
    pub(super) revision: u64,
    pub(super) incarnations: u64,
}

impl Table {
    /// Nobody is known.
    pub fn new(limits: Limits) -> Self {
        Self {
            entries: BTreeMap::new(),
            limits,
            revision: 0,
            incarnations: 0,
        }
    }

    /// Grows by one with every visible change.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// One instance.
    pub fn get(&self, key: &Key) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Every instance, by service and id.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        self.entries.iter()
    }

    /// The instances of a service, by id.
    pub fn of(&self, service: &ServiceName) -> impl Iterator<Item = &Entry> {
        // No id is smaller than "0" (ids have a first character, and "-" cannot be it).
        let first: InstanceId = "0".parse().expect("0 is an id");
        let from = Bound::Included((service.clone(), first));
        let entries = self.entries.range((from, Bound::Unbounded));
        entries
            .take_while(move |((name, _), _)| name == service)
            .map(|(_, entry)| entry)
    }

    /// How many instances are in each state.
    pub fn counts(&self) -> [(State, usize); 4] {
        State::ALL.map(|state| {
            (
                state,
                self.entries
                    .values()
                    .filter(|entry| entry.state == state)
                    .count(),
            )
        })
    }

    /// When [`super::Event::Tick`] is next needed.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.entries.values().filter_map(Entry::deadline).min()
    }

    /// Counts a change of `key`, as it is now.
    pub(super) fn changed(&mut self, key: &Key) -> Change {
        self.revision += 1;
        let (service, id) = key.clone();
        Change {
            revision: self.revision,
            service,
            id,
            instance: self.entries.get(key).map(Entry::status),
        }
    }
}
