//! The one connection to Redis, and the circuit around it.
//!
//! Commands are pipelined over a single multiplexed connection (a pool would add a PING to every use). The first failure
//! or time-out opens the circuit: the connection is dropped and every caller bypasses the cache at once, while one task
//! reconnects in the background with growing pauses. So an outage costs each request in flight one time-out, later ones
//! nothing, and the log two lines.
//!
//! Changes that could not be announced meanwhile are owed: they are paid before the connection is handed out again, so
//! what Redis kept from before the outage cannot be served as current. Each replica knows only its own debts, so each
//! also waits, after paying, for as long as the others may take to come back and pay theirs. What is left: a replica that
//! ended while it owed, or that alone cannot reach Redis; then the others may serve an old value until it expires.

use super::script::ANNOUNCE;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, RedisError};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Most announcements owed at a time. What is beyond it may be served from the cache until it expires there.
const MAX_DEBTS: usize = 10_000;
/// Announcements paid a command.
const BATCH: usize = 500;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Between paying and using Redis again after an outage: the other replicas' longest pause and the time to pay.
const SETTLE: Duration = Duration::from_millis(1_500);

/// A change to announce: cache key and revision.
pub(super) type Announcement = (String, i64);

/// The way to Redis.
pub(super) struct Link {
    client: Client,
    /// Longest wait for a connection, and for an answer.
    timeout: Duration,
    /// How long an announcement is remembered, in ms.
    announcement_ttl: u64,
    state: Mutex<State>,
    opened: Notify,
}

#[derive(Default)]
struct State {
    /// `None`: the circuit is open.
    live: Option<MultiplexedConnection>,
    /// Counts connections, so that a late failure of an old one cannot take the new one down.
    generation: u64,
    owed: HashMap<String, i64>,
}

/// The circuit is open, or opened just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Away;

impl Link {
    /// Prepares the link; [`Self::keep`] connects it.
    pub(super) fn new(
        url: &str,
        timeout: Duration,
        announcement_ttl: Duration,
    ) -> Result<Self, RedisError> {
        Ok(Self {
            client: Client::open(url)?,
            timeout,
            announcement_ttl: millis(announcement_ttl),
            state: Mutex::default(),
            opened: Notify::new(),
        })
    }

    /// Runs one command; a failure opens the circuit.
    pub(super) async fn run<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, Away> {
        let (generation, connection) = {
            let state = self.state();
            (state.generation, state.live.clone())
        };
        let mut connection = connection.ok_or(Away)?;
        command.query_async(&mut connection).await.map_err(|error| {
            self.open(generation, &error);
            Away
        })
    }

    /// Announces changes; what cannot be announced now is owed and paid before the circuit closes again.
    pub(super) async fn announce(&self, changes: &[Announcement]) {
        for batch in changes.chunks(BATCH) {
            let sent = self
                .run::<()>(&announce_command(batch, self.announcement_ttl))
                .await;
            if sent.is_err() {
                let mut state = self.state();
                // The circuit may have closed since: then what is owed needs another round of payment.
                if let Some(connection) = state.live.take() {
                    drop(connection);
                    self.opened.notify_one();
                }
                for (key, revision) in batch {
                    owe(&mut state.owed, key, *revision);
                }
            }
        }
    }

    /// Connects, and reconnects whenever the circuit opens, for as long as it is polled. `report` is told how it stands.
    pub(super) async fn keep(&self, report: impl Fn(Result<(), &str>)) {
        let mut settle = Duration::ZERO;
        loop {
            let mut pause = FIRST_PAUSE;
            while let Err(error) = self.close(settle).await {
                report(Err(&error.to_string()));
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            report(Ok(()));
            while self.state().live.is_some() {
                self.opened.notified().await;
            }
            report(Err("a command failed"));
            settle = SETTLE;
        }
    }

    /// Connects, pays what is owed, waits, pays what came to be owed since, and closes the circuit.
    async fn close(&self, settle: Duration) -> Result<(), RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(self.timeout));
        let mut connection = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        redis::cmd("PING")
            .query_async::<()>(&mut connection)
            .await?;
        while self.pay(&mut connection).await? {}
        tokio::time::sleep(settle).await;
        loop {
            {
                let mut state = self.state();
                if state.owed.is_empty() {
                    state.generation += 1;
                    state.live = Some(connection);
                    return Ok(());
                }
            }
            self.pay(&mut connection).await?;
        }
    }

    /// Announces a batch of what is owed; whether there was anything.
    async fn pay(&self, connection: &mut MultiplexedConnection) -> Result<bool, RedisError> {
        let batch: Vec<Announcement> = self
            .state()
            .owed
            .iter()
            .take(BATCH)
            .map(|(key, revision)| (key.clone(), *revision))
            .collect();
        if batch.is_empty() {
            return Ok(false);
        }
        announce_command(&batch, self.announcement_ttl)
            .query_async::<()>(connection)
            .await?;
        let mut state = self.state();
        for (key, revision) in batch {
            if state.owed.get(&key) == Some(&revision) {
                state.owed.remove(&key);
            }
        }
        Ok(true)
    }

    fn open(&self, generation: u64, error: &RedisError) {
        let mut state = self.state();
        if state.generation == generation && state.live.take().is_some() {
            metrics::counter!("product_cache_circuit_opened_total").increment(1);
            tracing::warn!(error = %error, "the cache failed: requests bypass it until it answers again");
            self.opened.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Remembers the highest revision owed for a key.
fn owe(owed: &mut HashMap<String, i64>, key: &str, revision: i64) {
    if let Some(known) = owed.get_mut(key) {
        *known = revision.max(*known);
    } else if owed.len() < MAX_DEBTS {
        owed.insert(key.to_owned(), revision);
    }
}

fn announce_command(changes: &[Announcement], ttl: u64) -> redis::Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(ANNOUNCE).arg(changes.len());
    for (key, _) in changes {
        command.arg(key);
    }
    command.arg(ttl);
    for (_, revision) in changes {
        command.arg(revision);
    }
    command
}

/// Whole milliseconds, at least one: Redis refuses an expiry of 0.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis())
        .unwrap_or(u64::MAX)
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debts_keep_the_highest_revision_and_are_bounded() {
        let mut owed = HashMap::new();
        for revision in [3, 7, 5] {
            owe(&mut owed, "k", revision);
        }
        assert_eq!(owed["k"], 7);
        for n in 0..MAX_DEBTS + 5 {
            owe(&mut owed, &n.to_string(), 1);
        }
        assert_eq!(owed.len(), MAX_DEBTS);
    }
}
