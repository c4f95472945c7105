//! What several registries say, merged into one view: the union of what passes; of several generations of an instance the
//! highest counts; draining anywhere beats passing elsewhere. Replicas that are away count only while all are: the last
//! known good view.
//!
//! A registry that was started a moment ago knows nobody yet. Its first snapshot must not empty the view: what it knew itself
//! before, and what a replica knew that goes away now (a rolling update replaces one after the other), is carried over for
//! [`SETTLE`], in which every live instance renews and is probed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::types::{Change, State, Status};
use super::watch::{Endpoint, Endpoints};
use super::{InstanceId, ServiceName};

/// A lease ([`DEFAULT_TTL`](super::DEFAULT_TTL)): whoever lives has renewed by then. A renewal alone (3 s and its jitter) is not enough:
/// the round before it may wait for a replica that has just gone, on a busy machine for its name's new addresses, too.
pub(super) const SETTLE: Duration = Duration::from_secs(10);

type Key = (ServiceName, InstanceId);

/// What one replica said.
#[derive(Debug, Default)]
struct View {
    connected: bool,
    epoch: String,
    /// Its name is gone: what it knew counts until another one answers, which it is handed to.
    gone: bool,
    /// From when on it knows everybody: some time after it was first heard of, or was restarted.
    settles: Option<Instant>,
    instances: BTreeMap<Key, Status>,
    /// Passing under the replica's former epoch, or at one that is gone; not yet confirmed or denied, believed until then.
    carried: BTreeMap<Key, (Status, Instant)>,
}

impl View {
    /// What the replica says itself counts, where it says anything.
    fn believe_answers(&mut self) {
        let instances = &self.instances;
        self.carried
            .retain(|key, (carried, _)| unanswered(instances.get(key), carried));
    }
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
        let is_new = view.epoch != epoch;
        if is_new {
            view.settles = Some(now + SETTLE);
            let passing = before
                .into_iter()
                .filter(|(_, status)| status.state == State::Passing);
            view.carried
                .extend(passing.map(|(key, status)| (key, (status, now + SETTLE))));
        }
        (view.connected, view.gone, view.epoch) = (true, false, epoch.to_owned());
        view.believe_answers();
        self.known = true;
        if is_new {
            let away: Vec<SocketAddr> = self.away().collect();
            for gone in away {
                self.carry(gone, now);
            }
        }
        self.forget_gone();
    }

    /// A replica answers again; what it says (changes since, or a snapshot) follows.
    pub(super) fn connected(&mut self, replica: SocketAddr, now: Instant) {
        let Some(view) = self.replicas.get_mut(&replica) else {
            return; // it has to tell everything first
        };
        (view.connected, view.gone) = (true, false);
        let gone = self.replicas.iter().filter(|(_, view)| view.gone);
        for gone in gone.map(|(gone, _)| *gone).collect::<Vec<_>>() {
            self.carry(gone, now);
        }
        self.forget_gone();
    }

    /// A replica told one change.
    pub(super) fn change(&mut self, replica: SocketAddr, change: Change) {
        let Some(view) = self.replicas.get_mut(&replica) else {
            return;
        };
        let key = (change.service, change.id);
        let Some(status) = change.instance else {
            view.instances.remove(&key);
            // It left: nobody else's memory of it counts.
            for view in self.replicas.values_mut() {
                view.carried.remove(&key);
            }
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
    pub(super) fn disconnected(&mut self, replica: SocketAddr, now: Instant) {
        if let Some(view) = self.replicas.get_mut(&replica)
            && std::mem::replace(&mut view.connected, false)
        {
            self.carry(replica, now);
        }
    }

    fn away(&self) -> impl Iterator<Item = SocketAddr> {
        let away = self.replicas.iter().filter(|(_, view)| !view.connected);
        away.map(|(replica, _)| *replica)
    }

    /// Hands what `gone` knew to those who do not know everybody yet, unless somebody else does.
    fn carry(&mut self, gone: SocketAddr, now: Instant) {
        let connected = |view: &&View| view.connected;
        let is_settled = |view: &View| view.settles.is_some_and(|settles| settles <= now);
        if self.replicas.values().filter(connected).any(is_settled) {
            return;
        }
        let Some(view) = self.replicas.get(&gone) else {
            return;
        };
        let confirmed = view
            .instances
            .iter()
            .filter(|(_, status)| status.state == State::Passing);
        let unconfirmed = view.carried.iter().map(|(key, (status, _))| (key, status));
        let passing: Vec<(Key, Status)> = confirmed
            .chain(unconfirmed)
            .map(|(key, status)| (key.clone(), status.clone()))
            .collect();
        for view in self.replicas.values_mut().filter(|view| view.connected) {
            let until = view.settles.unwrap_or(now);
            for (key, status) in &passing {
                view.carried
                    .entry(key.clone())
                    .or_insert_with(|| (status.clone(), until));
            }
            view.believe_answers();
        }
    }

    /// A replica's name is gone: it is forgotten, at once or, while it is part of all that we know, when another one answers. Kept
    /// for longer, what it once knew would come back at the next replica's beginning: instances that have long ended.
    pub(super) fn forget(&mut self, replica: SocketAddr) {
        if let Some(view) = self.replicas.get_mut(&replica) {
            view.gone = true;
        }
        if self
            .replicas
            .values()
            .any(|view| view.connected && !view.gone)
        {
            self.forget_gone();
        }
    }

    fn forget_gone(&mut self) {
        self.replicas.retain(|_, view| !view.gone);
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
