//! The saga's writes. Each holds the order's row lock while [`decide`] looks at what is stored, so an order is decided once.

use std::time::Duration;

use common::clock;
use sqlx::{PgConnection, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Store, StoreError, bounded, orders::OrderRow};
use crate::{
    answer::Answer,
    domain::{Item, Order, Status},
    saga::decide::{Action, Event, State, back_off, decide},
};

/// An order whose next step is due, leased to the caller.
#[derive(Debug)]
pub struct Due {
    /// The order.
    pub order: Order,
    /// How often the step was begun, this time included.
    pub attempts: i32,
}

/// What an event did.
#[derive(Debug)]
pub struct Advanced {
    /// What was decided.
    pub action: Action,
    /// The order afterwards; `None` once forgotten.
    pub order: Option<Order>,
}

/// An order with what the saga needs to know of it.
struct StepRow {
    id: Uuid,
    customer_id: String,
    status: String,
    items: Json<Vec<Item>>,
    total_cents: Option<i64>,
    currency: Option<String>,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
    attempts: i32,
    done: bool,
    now: OffsetDateTime,
}

struct Locked {
    order: Order,
    attempts: i32,
    done: bool,
    /// Since the order last changed.
    age: time::Duration,
}

impl TryFrom<StepRow> for Locked {
    type Error = StoreError;

    fn try_from(row: StepRow) -> Result<Self, StoreError> {
        let (attempts, done, age) = (row.attempts, row.done, row.now - row.updated_at);
        let order = OrderRow {
            id: row.id,
            customer_id: row.customer_id,
            status: row.status,
            items: row.items,
            total_cents: row.total_cents,
            currency: row.currency,
            created_at: row.created_at,
            updated_at: row.updated_at,
        };
        Ok(Self {
            order: order.try_into()?,
            attempts,
            done,
            age,
        })
    }
}

impl Locked {
    fn state(&self, in_doubt: bool) -> State {
        match self.order.status {
            Status::Pending => State::Pending {
                sole_attempt: self.attempts == 1 && !in_doubt,
            },
            Status::Confirmed => State::Confirmed,
            Status::Cancelled => State::Cancelled {
                released: self.done,
            },
        }
    }
}

impl Store {
    /// Leases up to `limit` due orders to the caller for `lease`, longest due first. Orders that another worker is just
    /// leasing are passed over (`SKIP LOCKED`).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claim_due(&self, limit: i64, lease: Duration) -> Result<Vec<Due>, StoreError> {
        let rows = bounded(
            sqlx::query_as!(
                StepRow,
                r#"UPDATE orders SET due_at = now() + make_interval(secs => $2), attempts = attempts + 1
                   WHERE id IN (SELECT id FROM orders WHERE due_at <= now() ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED)
                   RETURNING id, customer_id, status, items AS "items: Json<Vec<Item>>", total_cents, currency,
                             created_at, updated_at, attempts, due_at IS NULL AS "done!", now() AS "now!""#,
                limit,
                lease.as_secs_f64()
            )
            .fetch_all(&self.pool),
        )
        .await?;
        let due = |row| {
            Locked::try_from(row).map(
                |Locked {
                     order, attempts, ..
                 }| Due { order, attempts },
            )
        };
        rows.into_iter().map(due).collect()
    }

    /// Applies what product-service said. `in_doubt`: the caller made a request for this order that was not answered.
    /// `lease` is how long the caller has for a release that follows.
    ///
    /// `None` when there is no such order (any more).
    ///
    /// # Errors
    /// [`StoreError`]; the order then comes due again when the caller's lease ends.
    pub async fn advance(
        &self,
        id: Uuid,
        event: Event,
        in_doubt: bool,
        lease: Duration,
    ) -> Result<Option<Advanced>, StoreError> {
        bounded(self.step(id, lease, in_doubt, |_| event)).await
    }

    /// Applies a customer's wish to cancel; orders confirmed longer ago than `window` stay as they are.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn cancel(
        &self,
        id: Uuid,
        window: Duration,
        lease: Duration,
    ) -> Result<Option<Advanced>, StoreError> {
        bounded(self.step(id, lease, false, |row| Event::CancelRequested {
            in_window: row.age <= window,
        }))
        .await
    }

    async fn step(
        &self,
        id: Uuid,
        lease: Duration,
        in_doubt: bool,
        event: impl FnOnce(&Locked) -> Event,
    ) -> Result<Option<Advanced>, StoreError> {
        let mut tx = self.pool.begin().await?;
        let Some(row) = lock(&mut tx, id).await? else {
            return Ok(None);
        };
        let action = decide(row.state(in_doubt), &row.order.items, event(&row));
        let order = write(&mut tx, row, &action, lease).await?;
        tx.commit().await?;
        Ok(Some(Advanced { action, order }))
    }
}

async fn lock(connection: &mut PgConnection, id: Uuid) -> Result<Option<Locked>, StoreError> {
    let row = sqlx::query_as!(
        StepRow,
        r#"SELECT id, customer_id, status, items AS "items: Json<Vec<Item>>", total_cents, currency, created_at, updated_at,
                  attempts, due_at IS NULL AS "done!", now() AS "now!"
           FROM orders WHERE id = $1 FOR UPDATE"#,
        id
    )
    .fetch_optional(connection)
    .await?;
    row.map(Locked::try_from).transpose()
}

/// Writes an action; the order as it is then, `None` once forgotten.
async fn write(
    connection: &mut PgConnection,
    row: Locked,
    action: &Action,
    lease: Duration,
) -> Result<Option<Order>, StoreError> {
    let Locked {
        mut order,
        attempts,
        ..
    } = row;
    let id = order.id;
    match action {
        Action::Keep | Action::Refuse => {}
        Action::Confirm {
            items,
            total_cents,
            currency,
        } => {
            order.updated_at = sqlx::query_scalar!(
                "UPDATE orders SET status = 'confirmed', items = $2, total_cents = $3, currency = $4, due_at = NULL, updated_at = now()
                 WHERE id = $1 RETURNING updated_at",
                id,
                Json(items) as _,
                total_cents,
                currency
            )
            .fetch_one(&mut *connection)
            .await?;
            order.status = Status::Confirmed;
            order.items.clone_from(items);
            order.total_cents = Some(*total_cents);
            order.currency = Some(currency.clone());
            keep_answer(
                connection,
                id,
                &Answer::Placed {
                    order: order.clone(),
                },
            )
            .await?;
        }
        Action::Cancel(reason) => {
            order.updated_at = sqlx::query_scalar!(
                "UPDATE orders SET status = 'cancelled', attempts = 0, due_at = now() + make_interval(secs => $2), updated_at = now()
                 WHERE id = $1 RETURNING updated_at",
                id,
                lease.as_secs_f64()
            )
            .fetch_one(&mut *connection)
            .await?;
            order.status = Status::Cancelled;
            keep_answer(connection, id, &reason.clone().into()).await?;
        }
        Action::Forget(reason) => {
            sqlx::query!("DELETE FROM orders WHERE id = $1", id)
                .execute(&mut *connection)
                .await?;
            keep_answer(connection, id, &reason.clone().into()).await?;
            return Ok(None);
        }
        Action::Finish => {
            sqlx::query!("UPDATE orders SET due_at = NULL WHERE id = $1", id)
                .execute(&mut *connection)
                .await?;
        }
        Action::RetryLater => {
            sqlx::query!(
                "UPDATE orders SET due_at = now() + make_interval(secs => $2) WHERE id = $1",
                id,
                clock::jitter(back_off(attempts), 0.3).as_secs_f64()
            )
            .execute(&mut *connection)
            .await?;
        }
    }
    Ok(Some(order))
}

/// Keeps the first decision's answer with the order's key, in the decision's own transaction.
async fn keep_answer(
    connection: &mut PgConnection,
    id: Uuid,
    answer: &Answer,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE idempotency_keys SET answer = $2 WHERE order_id = $1 AND answer IS NULL",
        id,
        Json(answer) as _
    )
    .execute(connection)
    .await?;
    Ok(())
}
