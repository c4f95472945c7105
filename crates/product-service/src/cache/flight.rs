//! Single flight: however many requests miss the same key at once, one loads and all share its result.
//!
//! A request only ever shares a load that *began after it arrived*. Sharing one already under way would be cheaper by
//! one load, and wrong: a client that has just been told of its own write could be handed what was read before it. So a
//! key has at most one load running and one batch waiting, and a batch closes when its load begins.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::OnceCell;

/// The loads under way, by key.
#[derive(Debug)]
pub struct Flights<V> {
    lanes: Mutex<HashMap<String, Arc<Lane<V>>>>,
}

/// One key's load and the batch behind it.
#[derive(Debug)]
struct Lane<V> {
    /// Held by the load that is running.
    running: tokio::sync::Mutex<()>,
    /// The batch that is still open to join.
    open: Mutex<Arc<OnceCell<V>>>,
}

impl<V> Default for Flights<V> {
    fn default() -> Self {
        Self {
            lanes: Mutex::default(),
        }
    }
}

impl<V: Clone> Flights<V> {
    /// Runs `load` for `key`, or waits for a load of the same key that begins from now on. `load` is told whether it had
    /// to wait for an earlier one, which may have filled the cache meanwhile. A caller that goes away mid-load hands the
    /// work to the next one waiting.
    pub async fn run<Load: Future<Output = V>>(
        &self,
        key: &str,
        load: impl FnOnce(bool) -> Load,
    ) -> V {
        let seat = self.join(key);
        let batch = Arc::clone(&lock(&seat.lane.open));
        batch
            .get_or_init(|| async {
                let (_running, waited) = match seat.lane.running.try_lock() {
                    Ok(guard) => (guard, false),
                    Err(_) => (seat.lane.running.lock().await, true),
                };
                seat.lane.close(&batch);
                load(waited).await
            })
            .await
            .clone()
    }

    fn join(&self, key: &str) -> Seat<'_, V> {
        let mut lanes = lock(&self.lanes);
        let lane = lanes.entry(key.to_owned()).or_insert_with(|| {
            Arc::new(Lane {
                running: tokio::sync::Mutex::default(),
                open: Mutex::default(),
            })
        });
        Seat {
            flights: self,
            key: key.to_owned(),
            lane: Arc::clone(lane),
        }
    }
}

impl<V> Lane<V> {
    /// Whoever comes from now on joins another batch.
    fn close(&self, batch: &Arc<OnceCell<V>>) {
        let mut open = lock(&self.open);
        if Arc::ptr_eq(&open, batch) {
            *open = Arc::default();
        }
    }
}

/// A caller's place at a lane; the last to leave takes the lane down, also when its request was cancelled.
struct Seat<'a, V> {
    flights: &'a Flights<V>,
    key: String,
    lane: Arc<Lane<V>>,
}

impl<V> Drop for Seat<'_, V> {
    fn drop(&mut self) {
        let mut lanes = lock(&self.flights.lanes);
        if Arc::strong_count(&self.lane) == 2 {
            lanes.remove(&self.key); // the map's and ours: seats are only taken under this lock
        }
    }
}

/// A panic elsewhere leaves nothing half-done in these maps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Notify;

    #[tokio::test]
    async fn a_crowd_makes_two_loads_and_nobody_shares_one_that_began_before_they_came() {
        let flights = Arc::new(Flights::default());
        let (loads, started, go) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(Notify::new()),
            Arc::new(Notify::new()),
        );
        let first = tokio::spawn({
            let (flights, loads, started, go) =
                (flights.clone(), loads.clone(), started.clone(), go.clone());
            async move {
                flights
                    .run("k", |_| async {
                        let n = loads.fetch_add(1, Ordering::SeqCst);
                        started.notify_one();
                        go.notified().await;
                        n
                    })
                    .await
            }
        });
        started.notified().await;
        let crowd: Vec<_> = (0..20)
            .map(|_| {
                let (flights, loads) = (flights.clone(), loads.clone());
                tokio::spawn(async move {
                    flights
                        .run("k", |waited| async move {
                            assert!(waited);
                            loads.fetch_add(1, Ordering::SeqCst)
                        })
                        .await
                })
            })
            .collect();
        while lock(&flights.lanes).get("k").map_or(0, Arc::strong_count) < 22 {
            tokio::task::yield_now().await;
        }
        go.notify_one();
        assert_eq!(first.await.unwrap(), 0);
        for one in crowd {
            assert_eq!(one.await.unwrap(), 1);
        }
        assert_eq!(loads.load(Ordering::SeqCst), 2);
        assert!(lock(&flights.lanes).is_empty());
    }

    #[tokio::test]
    async fn a_cancelled_load_is_taken_over_and_leaves_no_lane() {
        let flights = Arc::new(Flights::<u8>::default());
        let started = Arc::new(Notify::new());
        let first = tokio::spawn({
            let (flights, started) = (flights.clone(), started.clone());
            async move {
                flights
                    .run("k", |_| async {
                        started.notify_one();
                        std::future::pending().await
                    })
                    .await
            }
        });
        started.notified().await;
        let second = tokio::spawn({
            let flights = flights.clone();
            async move { flights.run("k", |_| async { 7 }).await }
        });
        first.abort();
        assert_eq!(second.await.unwrap(), 7);
        assert!(first.await.unwrap_err().is_cancelled());
        assert!(lock(&flights.lanes).is_empty());
    }
}
