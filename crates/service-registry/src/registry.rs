//! The shell around the core: its lock, its clock, its probes and those who watch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use common::clock;
use common::registry::{ServiceName, Status};
use tokio::sync::{Notify, Semaphore};

use crate::core::{Decision, Entry, Event, History, Limits, Probe, Recorded, Refusal, Table};
use crate::probe::probe;

/// Deadlines are looked after together, at most this often; well inside the promised 250 ms.
const GRAIN: Duration = Duration::from_millis(20);
/// How long a drain waits for watchers that do not read.
const TELLING: Duration = Duration::from_millis(250);
/// Probes at once.
const PROBES: usize = 256;

/// The registry of this process. Clones of the `Arc` share it.
#[derive(Debug)]
pub struct Registry {
    inner: Mutex<Inner>,
    limits: Limits,
    epoch: String,
    rearm: Arc<Notify>,
    delivered: Notify,
    probes: Semaphore,
}

#[derive(Debug)]
struct Inner {
    table: Table,
    history: History,
    watchers: BTreeMap<u64, Arc<Watcher>>,
    next_watcher: u64,
    turns: BTreeMap<ServiceName, usize>,
}

#[derive(Debug)]
struct Watcher {
    services: BTreeSet<ServiceName>,
    wake: Notify,
    /// Everything up to this revision has been handed to the connection.
    delivered: AtomicU64,
}

/// What a watcher is to be told.
#[derive(Debug)]
pub enum News {
    /// It is too far back (or new): everything, as of a revision.
    Snapshot(u64, Vec<Status>),
    /// What happened since, of its services.
    Changes(Vec<Recorded>),
}

impl Registry {
    /// An empty registry, its clock running. Call within a tokio runtime.
    pub fn start(limits: Limits) -> Arc<Self> {
        let inner = Inner {
            table: Table::new(limits),
            history: History::new(limits.history),
            watchers: BTreeMap::new(),
            next_watcher: 0,
            turns: BTreeMap::new(),
        };
        let registry = Arc::new(Self {
            inner: Mutex::new(inner),
            limits,
            epoch: format!("{:016x}", clock::random_u64()),
            rearm: Arc::default(),
            delivered: Notify::new(),
            probes: Semaphore::new(PROBES),
        });
        tokio::spawn(keep_time(
            Arc::downgrade(&registry),
            Arc::clone(&registry.rearm),
        ));
        registry
    }

    /// Names this life of the registry: revisions of another one mean nothing here.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// Applies an event: decides, records, wakes those concerned, starts probes.
    pub fn apply(self: &Arc<Self>, event: Event) -> Result<Decision, Refusal> {
        let mut decision = self.decide(event)?;
        // After the lock is released: writing a log may block.
        for change in &decision.changes {
            let state = change
                .instance
                .as_ref()
                .map_or("gone", |status| status.state.as_str());
            let (service, id, revision) = (&change.service, &change.id, change.revision);
            tracing::info!(%service, %id, state, revision, "instance changed");
        }
        metrics::counter!("registry_changes_total").increment(decision.changes.len() as u64);
        for probe in std::mem::take(&mut decision.probes) {
            tokio::spawn(run_probe(Arc::clone(self), probe));
        }
        if decision.created {
            self.rearm.notify_one();
        }
        Ok(decision)
    }

    fn decide(&self, event: Event) -> Result<Decision, Refusal> {
        let mut inner = self.lock();
        let decision = inner.table.decide(event, clock::now())?;
        for change in &decision.changes {
            inner.history.record(change);
            let watchers = inner.watchers.values();
            for watcher in watchers.filter(|watcher| watcher.services.contains(&change.service)) {
                watcher.wake.notify_one();
            }
        }
        if !decision.changes.is_empty() {
            for (state, count) in inner.table.counts() {
                metrics::gauge!("registry_instances", "state" => state.as_str()).set(count as f64);
            }
        }
        Ok(decision)
    }

    /// Reads the table.
    pub fn read<T>(&self, read: impl FnOnce(&Table) -> T) -> T {
        read(&self.lock().table)
    }

    /// Counts the turns of a service's round robin, from 0.
    pub fn turn(&self, service: &ServiceName) -> usize {
        let mut inner = self.lock();
        // Only services that exist have a turn, so that this map is bounded by the table.
        if inner.turns.len() > inner.table.iter().count() {
            inner.turns.clear();
        }
        let turn = inner.turns.entry(service.clone()).or_default();
        std::mem::replace(turn, turn.wrapping_add(1))
    }

    /// Begins to watch; `None` when there are too many watchers. `after` is the revision that the watcher has seen.
    pub fn watch(
        self: &Arc<Self>,
        services: BTreeSet<ServiceName>,
        after: Option<u64>,
    ) -> Option<Subscription> {
        let mut inner = self.lock();
        if inner.watchers.len() >= self.limits.max_watchers {
            return None;
        }
        let id = inner.next_watcher;
        inner.next_watcher += 1;
        let watcher = Arc::new(Watcher {
            services,
            wake: Notify::new(),
            delivered: AtomicU64::new(0),
        });
        inner.watchers.insert(id, Arc::clone(&watcher));
        metrics::gauge!("registry_watchers").set(inner.watchers.len() as f64);
        drop(inner);
        Some(Subscription {
            registry: Arc::clone(self),
            id,
            watcher,
            seen: after,
        })
    }

    /// Waits until those who watch `service` have been given `revision` (or 250 ms: one who does not read holds up nobody).
    pub async fn told(&self, service: &ServiceName, revision: u64) {
        let all_told = async {
            loop {
                let progress = self.delivered.notified();
                tokio::pin!(progress);
                progress.as_mut().enable();
                let behind = self.lock().watchers.values().any(|watcher| {
                    watcher.services.contains(service)
                        && watcher.delivered.load(Ordering::Acquire) < revision
                });
                if !behind {
                    return;
                }
                progress.await;
            }
        };
        if tokio::time::timeout(TELLING, all_told).await.is_err() {
            tracing::warn!(%service, revision, "a watcher does not read what it is told");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ticks when something is due, as long as the registry is there.
async fn keep_time(registry: Weak<Registry>, rearm: Arc<Notify>) {
    loop {
        let Some(due) = registry
            .upgrade()
            .map(|registry| registry.lock().table.next_deadline())
        else {
            return;
        };
        let pause = async {
            match due {
                Some(due) => tokio::time::sleep_until(due.max(clock::now() + GRAIN)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = pause => if let Some(registry) = registry.upgrade() {
                let ticked = registry.apply(Event::Tick);
                debug_assert!(ticked.is_ok(), "time is never refused");
            },
            () = rearm.notified() => {}
        }
    }
}

async fn run_probe(registry: Arc<Registry>, target: Probe) {
    let good = {
        let _permit = registry.probes.acquire().await;
        probe(target.address, target.path, registry.limits.probe_timeout).await
    };
    metrics::counter!("registry_probes_total", "outcome" => if good { "good" } else { "bad" })
        .increment(1);
    let known = registry.apply(Event::Probed(target, good)).is_ok();
    debug_assert!(known, "the core takes every probe's result");
    // The next probe's time may be earlier than what the clock waits for.
    registry.rearm.notify_one();
}

/// One watcher's place in the stream of changes. It pulls: what it has not read is kept for nobody but in the history.
#[derive(Debug)]
pub struct Subscription {
    registry: Arc<Registry>,
    id: u64,
    watcher: Arc<Watcher>,
    seen: Option<u64>,
}

impl Subscription {
    /// What there is to tell, without waiting.
    pub fn pull(&mut self) -> Option<News> {
        let inner = self.registry.lock();
        let services = &self.watcher.services;
        let latest = inner.table.revision();
        let missed = self
            .seen
            .replace(latest)
            .and_then(|seen| inner.history.since(seen));
        match missed {
            Some(missed) => {
                let own: Vec<Recorded> = missed
                    .filter(|change| services.contains(&change.service))
                    .cloned()
                    .collect();
                (!own.is_empty()).then_some(News::Changes(own))
            }
            None => {
                let entries = services.iter().flat_map(|service| inner.table.of(service));
                Some(News::Snapshot(latest, entries.map(Entry::status).collect()))
            }
        }
    }

    /// Says that everything pulled so far is on its way to the client.
    pub fn delivered(&self) {
        if let Some(seen) = self.seen {
            self.watcher.delivered.store(seen, Ordering::Release);
            self.registry.delivered.notify_waiters();
        }
    }

    /// Waits for a change of one of the services.
    pub async fn changed(&self) {
        self.watcher.wake.notified().await;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut inner = self.registry.lock();
        inner.watchers.remove(&self.id);
        metrics::gauge!("registry_watchers").set(inner.watchers.len() as f64);
        drop(inner);
        self.registry.delivered.notify_waiters();
    }
}
