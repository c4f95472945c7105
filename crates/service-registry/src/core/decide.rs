//! The transitions.

use common::registry::{Instance, State};
use time::OffsetDateTime;
use tokio::time::Instant;

use super::table::{Entry, Table};
use super::{
    CLASSIC_CRITICAL, CLASSIC_WARMING, Decision, Event, FAILURES, IMPATIENT, Key, Limits, Probe,
    Refusal,
};

impl Table {
    /// Applies an event at a time. Times never go back; `Tick` is due at [`Table::next_deadline`].
    pub fn decide(&mut self, event: Event, now: Instant) -> Result<Decision, Refusal> {
        match event {
            Event::Register(instance, at) => self.register(instance, at, false, now),
            Event::RegisterClassic(instance, at) => self.register(instance, at, true, now),
            Event::Drain(key, generation) => self.drain(&key, generation, now),
            Event::Deregister(key, generation) => {
                self.current(&key, generation)?;
                self.entries.remove(&key);
                Ok(Decision {
                    changes: vec![self.changed(&key)],
                    ..Decision::default()
                })
            }
            Event::DeregisterClassic(service) => {
                let classic = self.of(&service).filter(|entry| entry.is_classic());
                let keys: Vec<Key> = classic
                    .map(|entry| (service.clone(), entry.instance.id.clone()))
                    .collect();
                if keys.is_empty() {
                    return Err(Refusal::Unknown);
                }
                Ok(self.remove_all(keys))
            }
            Event::Probed(probe, good) => Ok(self.probed(&probe, good, now)),
            Event::Tick => Ok(self.tick(now)),
        }
    }

    fn register(
        &mut self,
        instance: Instance,
        at: OffsetDateTime,
        classic: bool,
        now: Instant,
    ) -> Result<Decision, Refusal> {
        let key = (instance.service.clone(), instance.id.clone());
        let expires = (!classic).then(|| now + instance.ttl.duration());
        let full = self.entries.len() >= self.limits.max_instances;
        match self.entries.get_mut(&key) {
            Some(known) if classic && !known.is_classic() => return Err(Refusal::Leased),
            Some(known) if instance.generation < known.instance.generation && !classic => {
                return Err(Refusal::Generation(known.instance.generation));
            }
            Some(known) if is_renewal(known, &instance, classic) => {
                let generation = known.instance.generation;
                let renewed = Instance {
                    generation,
                    ..instance
                };
                let visible = known.instance != renewed;
                (known.instance, known.expires) = (renewed, expires);
                let state = Some(known.state);
                let changes = if visible {
                    vec![self.changed(&key)]
                } else {
                    Vec::new()
                };
                return Ok(Decision {
                    changes,
                    state,
                    ..Decision::default()
                });
            }
            None if full => return Err(Refusal::Full),
            _ => {}
        }
        self.incarnations += 1;
        let entry = Entry {
            instance,
            state: State::Warming,
            registered_at: at,
            expires,
            state_since: now,
            failures: 0,
            probe_due: now,
            probing: false,
            incarnation: self.incarnations,
        };
        self.entries.insert(key.clone(), entry);
        let changes = vec![self.changed(&key)];
        let probes = self
            .entries
            .get_mut(&key)
            .and_then(|entry| due_probe(&key, entry, now))
            .into_iter()
            .collect();
        Ok(Decision {
            changes,
            probes,
            created: true,
            state: Some(State::Warming),
        })
    }

    fn drain(
        &mut self,
        key: &Key,
        generation: Option<u64>,
        now: Instant,
    ) -> Result<Decision, Refusal> {
        let entry = self.current(key, generation)?;
        let already = entry.state == State::Draining;
        if !already {
            (entry.state, entry.state_since) = (State::Draining, now);
        }
        let changes = if already {
            Vec::new()
        } else {
            vec![self.changed(key)]
        };
        Ok(Decision {
            changes,
            state: Some(State::Draining),
            ..Decision::default()
        })
    }

    /// The instance, unless a newer generation than the caller's is known.
    fn current(&mut self, key: &Key, generation: Option<u64>) -> Result<&mut Entry, Refusal> {
        let entry = self.entries.get_mut(key).ok_or(Refusal::Unknown)?;
        let known = entry.instance.generation;
        match generation {
            Some(generation) if generation < known => Err(Refusal::Generation(known)),
            _ => Ok(entry),
        }
    }

    fn probed(&mut self, probe: &Probe, good: bool, now: Instant) -> Decision {
        let limits = self.limits;
        let Some(entry) = self.entries.get_mut(&probe.key) else {
            return Decision::default();
        };
        if entry.incarnation != probe.incarnation {
            return Decision::default();
        }
        entry.probing = false;
        entry.failures = if good {
            0
        } else {
            entry.failures.saturating_add(1)
        };
        let next = match (entry.state, good) {
            (State::Draining, _) => State::Draining,
            (_, true) => State::Passing,
            (State::Passing, false) if entry.failures >= FAILURES => State::Critical,
            (state, false) => state,
        };
        let changed = next != entry.state;
        if changed {
            (entry.state, entry.state_since) = (next, now);
        }
        entry.probe_due = now + pause(entry, &limits, now);
        let changes = if changed {
            vec![self.changed(&probe.key)]
        } else {
            Vec::new()
        };
        Decision {
            changes,
            state: Some(next),
            ..Decision::default()
        }
    }

    fn tick(&mut self, now: Instant) -> Decision {
        let over = |since: Instant, patience| now >= since + patience;
        let ended = |entry: &Entry| match entry.expires {
            Some(expires) => now >= expires,
            None => entry.state == State::Critical && over(entry.state_since, CLASSIC_CRITICAL),
        };
        let gone: Vec<Key> = self
            .entries
            .iter()
            .filter(|(_, entry)| ended(entry))
            .map(|(key, _)| key.clone())
            .collect();
        let mut decision = self.remove_all(gone);
        let mut critical = Vec::new();
        for (key, entry) in &mut self.entries {
            if entry.is_classic()
                && entry.state == State::Warming
                && over(entry.state_since, CLASSIC_WARMING)
            {
                (entry.state, entry.state_since) = (State::Critical, now);
                critical.push(key.clone());
            }
            decision.probes.extend(due_probe(key, entry, now));
        }
        decision.changes.extend(
            critical
                .iter()
                .map(|key| self.changed(key))
                .collect::<Vec<_>>(),
        );
        decision
    }

    fn remove_all(&mut self, keys: Vec<Key>) -> Decision {
        let mut decision = Decision::default();
        for key in keys {
            self.entries.remove(&key);
            decision.changes.push(self.changed(&key));
        }
        decision
    }
}

/// The same process at the same place. A classic client does not know generations: the same place is the same instance.
fn is_renewal(known: &Entry, instance: &Instance, classic: bool) -> bool {
    let same_process = known.instance.generation == instance.generation || classic;
    same_process && known.is_classic() == classic && known.instance.socket() == instance.socket()
}

fn due_probe(key: &Key, entry: &mut Entry, now: Instant) -> Option<Probe> {
    if entry.probing || entry.state == State::Draining || entry.probe_due > now {
        return None;
    }
    entry.probing = true;
    let warming = entry.state == State::Warming && !entry.is_classic();
    Some(Probe {
        key: key.clone(),
        incarnation: entry.incarnation,
        address: entry.instance.socket(),
        path: if warming { "/ready" } else { "/health" },
    })
}

/// Until the next probe.
fn pause(entry: &Entry, limits: &Limits, now: Instant) -> std::time::Duration {
    match entry.state {
        State::Warming if now < entry.state_since + IMPATIENT => limits.warming_every,
        State::Warming => limits.warming_every * 4,
        _ => limits.probe_every,
    }
}
