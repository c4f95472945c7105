//! The saga's I/O: places orders, calls product-service, writes what [`decide`](super::decide::decide) says.

use std::time::Duration;

use common::http_layer::RequestContext;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use uuid::Uuid;

use super::{
    decide::{Action, Call, Event, Reservation, State, next_call},
    flights::Flights,
};
use crate::{
    answer::Answer,
    domain::{Item, Order, Status},
    products::Products,
    store::{Advanced, Store, StoreError},
};

/// Pause after a first failed reservation request; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(800);
/// Durations of the saga.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// How long a request waits for the decision before it is answered 202.
    pub answer_within: Duration,
    /// How long a worker has for one step before another may take the order over.
    pub lease: Duration,
    /// How long after its confirmation an order can be cancelled.
    pub cancel_window: Duration,
    /// How often recovery looks for due orders.
    pub recovery_interval: Duration,
}

/// What became of a wish to cancel.
#[derive(Debug)]
pub enum Cancellation {
    /// The order is cancelled, now or before.
    Cancelled(Order),
    /// It was confirmed too long ago.
    TooLate,
    /// There is no such order.
    Unknown,
}

/// Drives orders from accepted to decided. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Saga {
    pub(super) store: Store,
    products: Products,
    pub(super) policy: Policy,
    pub(super) flights: Flights,
    /// Steps under way; they outlive the request that began them.
    tasks: TaskTracker,
}

impl Saga {
    /// A saga over the given store and product-service.
    pub fn new(store: Store, products: Products, policy: Policy) -> Self {
        Self {
            store,
            products,
            policy,
            flights: Flights::default(),
            tasks: TaskTracker::new(),
        }
    }

    /// The durations it was made with.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Waits until no step is under way any more.
    pub async fn drain(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Asks for the reservation until product-service answers, for at most `budget`, and applies the answer. The decided
    /// answer, if it was decided here.
    pub(super) async fn reserve(
        &self,
        id: Uuid,
        items: &[Item],
        budget: Duration,
    ) -> Option<Answer> {
        let mut in_doubt = false;
        let asking = async {
            let mut pause = FIRST_PAUSE;
            loop {
                match self.products.reserve(id, items).await {
                    Reservation::Unknown => in_doubt = true,
                    reservation => return reservation,
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        };
        let reservation = tokio::time::timeout(budget, asking)
            .await
            .unwrap_or(Reservation::Unknown);
        let advanced = self
            .advance(id, Event::Reserved(reservation), in_doubt)
            .await?;
        let answer = match advanced.action {
            Action::Confirm { .. } => Answer::Placed {
                order: advanced.order?,
            },
            Action::Cancel(reason) => {
                self.start_release(id);
                reason.into()
            }
            Action::Forget(reason) => reason.into(),
            Action::Finish | Action::RetryLater | Action::Refuse | Action::Keep => return None,
        };
        let status = if matches!(answer, Answer::Placed { .. }) {
            "confirmed"
        } else {
            "refused"
        };
        metrics::counter!("orders_decided_total", "status" => status).increment(1);
        Some(answer)
    }

    /// Cancels an order for its customer. The stock is usually back when this returns; else recovery returns it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn cancel(&self, id: Uuid) -> Result<Cancellation, StoreError> {
        let Some(Advanced { action, order }) = self
            .store
            .cancel(id, self.policy.cancel_window, self.policy.lease)
            .await?
        else {
            return Ok(Cancellation::Unknown);
        };
        match (action, order) {
            (Action::Refuse, _) | (_, None) => Ok(Cancellation::TooLate),
            (Action::Cancel(_), Some(order)) => {
                metrics::counter!("orders_decided_total", "status" => "withdrawn").increment(1);
                // A failed task is recovery's business: the release stays due.
                let _ = self.start_release(id).await;
                Ok(Cancellation::Cancelled(order))
            }
            (_, Some(order)) => Ok(Cancellation::Cancelled(order)),
        }
    }

    fn start_release(&self, id: Uuid) -> JoinHandle<()> {
        let saga = self.clone();
        self.spawn(async move { saga.release(id).await })
    }

    /// Runs a step as a task of its own, which a client that hangs up does not end; what it logs and calls still belongs to
    /// the request.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        step: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let step = step.in_current_span();
        match RequestContext::current() {
            Some(context) => self.tasks.spawn(context.scope(step)),
            None => self.tasks.spawn(step),
        }
    }

    /// Asks once for the release and applies the answer.
    pub(super) async fn release(&self, id: Uuid) {
        let released = self.products.release(id).await;
        self.advance(id, Event::Released(released), false).await;
    }

    /// Leases due orders and brings each a step forward; how many there were.
    ///
    /// # Errors
    /// [`StoreError`] when none could be leased.
    pub(super) async fn finish_due(&self, batch: i64) -> Result<usize, StoreError> {
        let due = self.store.claim_due(batch, self.policy.lease).await?;
        let found = due.len();
        let steps: Vec<_> = due
            .into_iter()
            .map(|due| {
                let saga = self.clone();
                self.spawn(async move { saga.step(due.order, due.attempts).await })
            })
            .collect();
        for step in steps {
            // A step that panicked leaves its order leased; it comes due again.
            let _ = step.await;
        }
        Ok(found)
    }

    async fn step(&self, order: Order, attempts: i32) {
        tracing::info!(order.id = %order.id, status = order.status.as_str(), attempts, "recovering an order");
        metrics::counter!("orders_recovered_total", "status" => order.status.as_str()).increment(1);
        let state = match order.status {
            Status::Pending => State::Pending {
                sole_attempt: false,
            },
            Status::Confirmed => State::Confirmed,
            Status::Cancelled => State::Cancelled { released: false },
        };
        match next_call(state) {
            Some(Call::Reserve) => drop(
                self.reserve(order.id, &order.items, self.policy.lease / 2)
                    .await,
            ),
            Some(Call::Release) => self.release(order.id).await,
            None => {}
        }
    }

    /// Removes expired idempotency keys.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) async fn sweep_keys(&self) -> Result<u64, StoreError> {
        self.store.sweep_keys(1000).await
    }

    /// Applies an event. A store that fails here costs nothing but time: the order stays leased and comes due again.
    async fn advance(&self, id: Uuid, event: Event, in_doubt: bool) -> Option<Advanced> {
        match self
            .store
            .advance(id, event, in_doubt, self.policy.lease)
            .await
        {
            Ok(advanced) => advanced,
            Err(error) => {
                tracing::warn!(order.id = %id, error = &error as &dyn std::error::Error, "a saga step could not be stored");
                None
            }
        }
    }
}
