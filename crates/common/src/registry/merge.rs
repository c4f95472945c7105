//! What several registries say, merged into one view: the union of what passes; of several generations of an instance the
//! highest counts; draining anywhere beats passing elsewhere. Replicas that are away count only while all are: the last
//! known good view.
//!
//! A registry that was restarted knows nobody yet. Its first snapshot must not empty the view: what its predecessor knew
//! is carried over for [`SETTLE`], in which every live instance renews and is probed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::types::{Change, State, Status};
use super::watch::{Endpoint, Endpoints};
use super::{InstanceId, ServiceName};

/// Longer than a renewal (3 s and its jitter) and a probe.
pub(super) const SETTLE: Duration = Duration::from_secs(5);

type Key = (ServiceName, InstanceId);

/// What one replica said.
#[derive(Debug, Default)]
struct View {
    connected: bool,
    epoch: String,
    instances: BTreeMap<Key, Status>,
    /// Passing under the replica's former epoch, not yet confirmed or denied, believed until then.
    carried: BTreeMap<Key, (Status, Instant)>,
}

/// What all replicas said.
#[derive(Debug, Default)]
pub(super) struct Views {
    replicas: BTreeMap<SocketAddr, View>,
    known: bool,
}

impl Views {
    /// A replica told everything it knows.
    pub(super) fn snapshot(
        &mut self,
        replica: SocketAddr,
        epoch: &str,
        instances: Vec<Status>,
        now: Instant,
    ) {
        let view = self.replicas.entry(replica).or_default();
        let before = std::mem::take(&mut view.instances);
        view.instances = instances
            .into_iter()
            .map(|status| (key(&status), status))
            .collect();
        if view.epoch != epoch && !view.epoch.is_empty() {
            let passing = before
                .into_iter()
                .filter(|(_, status)| status.state == State::Passing);
            view.carried
                .extend(passing.map(|(key, status)| (key, (status, now + SETTLE))));
        }
        let instances = &view.instances;
        view.carried
            .retain(|key, (carried, _)| unanswered(instances.get(key), carried));
        (view.connected, view.epoch) = (true, epoch.to_owned());
        self.known = true;
    }

    /// A replica answers again; what it says (changes since, or a snapshot) follows.
    pub(super) fn connected(&mut self, replica: SocketAddr) {
        if let Some(view) = self.replicas.get_mut(&replica) {
            view.connected = true;
        }
    }

    /// A replica told one change.
    pub(super) fn change(&mut self, replica: SocketAddr, change: Change) {
        let Some(view) = self.replicas.get_mut(&replica) else {
            return;
        };
        let key = (change.service, change.id);
        let Some(status) = change.instance else {
            view.instances.remove(&key);
            view.carried.remove(&key);
            return;
        };
        if view
            .carried
            .get(&key)
            .is_some_and(|(carried, _)| !unanswered(Some(&status), carried))
        {
            view.carried.remove(&key);
        }
        view.instances.insert(key, status);
    }

    /// A replica's stream ended.
    pub(super) fn disconnected(&mut self, replica: SocketAddr) {
        if let Some(view) = self.replicas.get_mut(&replica) {
            view.connected = false;
        }
    }

    /// A replica's name is gone: forget it, unless it is part of all that we know.
    pub(super) fn forget(&mut self, replica: SocketAddr) {
        if self
            .replicas
            .iter()
            .any(|(other, view)| *other != replica && view.connected)
        {
            self.replicas.remove(&replica);
        }
    }

    /// When the view next changes by itself.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.replicas
            .values()
            .flat_map(|view| view.carried.values())
            .map(|(_, until)| *until)
            .min()
    }

    /// Drops what was carried over for long enough.
    pub(super) fn settle(&mut self, now: Instant) {
        for view in self.replicas.values_mut() {
            view.carried.retain(|_, (_, until)| *until > now);
        }
    }

    /// The merged view.
    pub(super) fn merged(&self) -> Endpoints {
        let any_connected = self.replicas.values().any(|view| view.connected);
        let counted = self
            .replicas
            .values()
            .filter(|view| view.connected || !any_connected);
        let mut best: BTreeMap<&Key, &Status> = BTreeMap::new();
        for view in counted {
            // A carried instance is passing and replaces what the new epoch says (nothing, or still warming).
            let known = view
                .instances
                .iter()
                .filter(|(key, _)| !view.carried.contains_key(*key));
            let carried = view.carried.iter().map(|(key, (status, _))| (key, status));
            for (key, status) in known.chain(carried) {
                best.entry(key)
                    .and_modify(|best| *best = winner(best, status))
                    .or_insert(status);
            }
        }
        let mut services: BTreeMap<ServiceName, Vec<Endpoint>> = BTreeMap::new();
        for ((service, id), status) in best {
            if status.state == State::Passing {
                services.entry(service.clone()).or_default().push(Endpoint {
                    id: id.clone(),
                    address: status.instance.socket(),
                    generation: status.instance.generation,
                    metadata: status.instance.metadata.clone(),
                });
            }
        }
        Endpoints::new(services, self.known)
    }
}

fn key(status: &Status) -> Key {
    (status.instance.service.clone(), status.instance.id.clone())
}

/// Whether what the new epoch says about an instance is no verdict yet.
fn unanswered(now: Option<&Status>, carried: &Status) -> bool {
    now.is_none_or(|now| {
        now.state == State::Warming && now.instance.generation == carried.instance.generation
    })
}

fn winner<'a>(a: &'a Status, b: &'a Status) -> &'a Status {
    let rank = |status: &Status| {
        let state = match status.state {
            State::Warming => 0,
            State::Critical => 1,
            State::Passing => 2,
            State::Draining => 3,
        };
        (status.instance.generation, state)
    };
    if rank(b) > rank(a) { b } else { a }
}

#[cfg(test)]
mod tests;
