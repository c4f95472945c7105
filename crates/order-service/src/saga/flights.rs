//! Copies of a request that is under way in this process wait for it here, without a connection to the database each: ten
//! copies would take all that there are, and with them the one that the first needs for its decision.
//!
//! This saves connections, nothing else: that copies become one order is the database's affair, across replicas and crashes.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::Outcome;

/// Scope and idempotency key.
type Key = (String, String);
type Landing = watch::Receiver<Option<Outcome>>;

/// The requests under way. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Flights(Arc<Mutex<HashMap<Key, Flight>>>);

#[derive(Debug)]
struct Flight {
    fingerprint: [u8; 32],
    landing: Landing,
}

/// What a request finds that is about to begin.
#[derive(Debug)]
pub(super) enum Boarded {
    /// No copy of it: it is the first.
    First(First),
    /// A copy of it, under way.
    Copy(Copy),
    /// Another request with the same key; the database decides.
    Other,
}

/// The first of its copies. Dropped without [`First::lands`], it has failed, or its client has hung up.
#[derive(Debug)]
pub(super) struct First {
    flights: Flights,
    key: Key,
    outcome: watch::Sender<Option<Outcome>>,
}

/// Waits for the first.
#[derive(Debug)]
pub(super) struct Copy(Landing);

impl Flights {
    pub(super) fn board(&self, scope: &str, key: &str, fingerprint: [u8; 32]) -> Boarded {
        let key = (scope.to_owned(), key.to_owned());
        match self.lock().entry(key.clone()) {
            Entry::Occupied(flight) if flight.get().fingerprint == fingerprint => {
                Boarded::Copy(Copy(flight.get().landing.clone()))
            }
            Entry::Occupied(_) => Boarded::Other,
            Entry::Vacant(free) => {
                let (outcome, landing) = watch::channel(None);
                free.insert(Flight {
                    fingerprint,
                    landing,
                });
                Boarded::First(First {
                    flights: self.clone(),
                    key,
                    outcome,
                })
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Flight>> {
        // Every change is one call: a panic elsewhere cannot leave it half-done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl First {
    /// Tells the copies.
    pub(super) fn lands(self, outcome: &Outcome) {
        self.outcome.send_replace(Some(outcome.to_copy()));
    }
}

impl Drop for First {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.key);
    }
}

impl Copy {
    /// What became of the first; `None` when it came to no outcome.
    pub(super) async fn outcome(mut self) -> Option<Outcome> {
        let landed = self.0.wait_for(Option::is_some).await;
        landed.ok().and_then(|outcome| outcome.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: [u8; 32] = [1; 32];

    fn first(boarded: Boarded) -> First {
        match boarded {
            Boarded::First(first) => first,
            other => panic!("{other:?}"),
        }
    }

    fn copy(boarded: Boarded) -> Copy {
        match boarded {
            Boarded::Copy(copy) => copy,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn copies_get_the_outcome_of_the_first_or_are_told_that_there_is_none() {
        let flights = Flights::default();
        let leader = first(flights.board("ada", "k", REQUEST));
        let follower = copy(flights.board("ada", "k", REQUEST));
        assert!(matches!(flights.board("ada", "k", [2; 32]), Boarded::Other));
        first(flights.board("bob", "k", REQUEST)).lands(&Outcome::KeyReused);
        leader.lands(&Outcome::KeyReused);
        assert!(matches!(follower.outcome().await, Some(Outcome::KeyReused)));

        let leader = first(flights.board("ada", "k", REQUEST));
        let follower = copy(flights.board("ada", "k", REQUEST));
        drop(leader);
        assert!(follower.outcome().await.is_none());
        assert!(flights.lock().is_empty());
    }
}
