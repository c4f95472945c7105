//! Requests to place an order: one inserts and decides, its copies wait for the same answer.

use std::time::Duration;

use uuid::Uuid;

use super::{Saga, flights::Boarded};
use crate::{
    answer::Answer,
    domain::Order,
    store::{KeyRow, NewOrder, Placed, StoreError},
};

/// How often a copy of a request looks whether the first has been answered: at first, and at most.
const FIRST_LOOK: Duration = Duration::from_millis(10);
const LAST_LOOK: Duration = Duration::from_millis(150);

/// What became of a request to place an order.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Decided, now or when a copy of this request came before.
    Decided {
        /// The stored answer.
        answer: Answer,
        /// The order it is about.
        order_id: Uuid,
        /// A copy of this request placed the order.
        replayed: bool,
    },
    /// Accepted, not decided in time.
    Undecided {
        /// The order as last seen.
        order: Order,
        /// A copy of this request placed the order.
        replayed: bool,
    },
    /// The key was used for another request.
    KeyReused,
}

impl Outcome {
    /// The same for a copy of the request.
    pub(super) fn to_copy(&self) -> Self {
        let mut copy = self.clone();
        match &mut copy {
            Self::Decided { replayed, .. } | Self::Undecided { replayed, .. } => *replayed = true,
            Self::KeyReused => {}
        }
        copy
    }
}

impl Saga {
    /// Places an order under an idempotency key, or joins the request that did.
    ///
    /// # Errors
    /// [`StoreError`] only while nothing is known to be stored; afterwards the outcome is `Undecided` instead.
    pub async fn place(
        &self,
        scope: &str,
        key: &str,
        new: NewOrder,
    ) -> Result<Outcome, StoreError> {
        match self.flights.board(scope, key, new.fingerprint) {
            Boarded::First(first) => {
                let outcome = self.place_or_join(scope, key, new).await?;
                first.lands(&outcome);
                Ok(outcome)
            }
            Boarded::Copy(copy) => match copy.outcome().await {
                Some(outcome) => Ok(outcome),
                None => self.place_or_join(scope, key, new).await,
            },
            Boarded::Other => self.place_or_join(scope, key, new).await,
        }
    }

    async fn place_or_join(
        &self,
        scope: &str,
        key: &str,
        new: NewOrder,
    ) -> Result<Outcome, StoreError> {
        let fingerprint = new.fingerprint;
        match self.store.place(scope, key, new, self.policy.lease).await? {
            Placed::New(order) => Ok(self.decide_new(scope, key, order).await),
            Placed::Before(row) => self.join(scope, key, fingerprint, row).await,
        }
    }

    /// The outcome for a copy of a request that was made under this key, or `None` if there was none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn replay(
        &self,
        scope: &str,
        key: &str,
        fingerprint: [u8; 32],
    ) -> Result<Option<Outcome>, StoreError> {
        match self.store.key(scope, key).await? {
            Some(row) => self.join(scope, key, fingerprint, row).await.map(Some),
            None => Ok(None),
        }
    }

    /// Decides the order just stored.
    async fn decide_new(&self, scope: &str, key: &str, order: Order) -> Outcome {
        let (saga, id, items) = (self.clone(), order.id, order.items.clone());
        let task =
            self.spawn(async move { saga.reserve(id, &items, saga.policy.answer_within).await });
        let mut answer = task.await.ok().flatten();
        if answer.is_none() {
            // Somebody else may have decided it: recovery, or the customer by cancelling.
            answer = self
                .store
                .key(scope, key)
                .await
                .ok()
                .flatten()
                .and_then(|row| row.answer);
        }
        match answer {
            Some(answer) => Outcome::Decided {
                answer,
                order_id: id,
                replayed: false,
            },
            None => Outcome::Undecided {
                order,
                replayed: false,
            },
        }
    }

    /// Waits for the answer that a copy of this request is getting. A look that fails is one look less: something is stored.
    async fn join(
        &self,
        scope: &str,
        key: &str,
        fingerprint: [u8; 32],
        row: KeyRow,
    ) -> Result<Outcome, StoreError> {
        if row.fingerprint != fingerprint {
            return Ok(Outcome::KeyReused);
        }
        let order_id = row.order_id;
        let waiting = async {
            let mut answer = row.answer;
            let mut pause = FIRST_LOOK;
            loop {
                if let Some(answer) = answer {
                    return answer;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LAST_LOOK);
                let look = self.store.key(scope, key).await;
                answer = look.ok().flatten().and_then(|row| row.answer);
            }
        };
        if let Ok(answer) = tokio::time::timeout(self.policy.answer_within, waiting).await {
            return Ok(Outcome::Decided {
                answer,
                order_id,
                replayed: true,
            });
        }
        match self.store.order(order_id).await? {
            Some(order) => Ok(Outcome::Undecided {
                order,
                replayed: true,
            }),
            // Forgotten in this moment: the answer is there now.
            None => match self.store.key(scope, key).await?.and_then(|row| row.answer) {
                Some(answer) => Ok(Outcome::Decided {
                    answer,
                    order_id,
                    replayed: true,
                }),
                None => Ok(Outcome::KeyReused),
            },
        }
    }
}
