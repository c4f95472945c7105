//! Placing orders under an idempotency key, and the answers kept with the keys.
//!
//! Nothing here looks before it inserts: the primary key of `idempotency_keys` decides between copies of a request.

use std::time::Duration;

use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Store, StoreError, bounded};
use crate::{
    answer::Answer,
    domain::{Order, Placement, Status},
};

/// An order about to be placed.
#[derive(Debug, Clone)]
pub struct NewOrder {
    /// Its id, made by the caller.
    pub id: Uuid,
    /// Who orders what.
    pub placement: Placement,
    /// The browser session it is placed in, as a hash.
    pub session: Option<[u8; 32]>,
    /// The request's meaning, as a hash.
    pub fingerprint: [u8; 32],
}

/// What became of an attempt to place an order.
#[derive(Debug)]
pub enum Placed {
    /// It is stored as pending, and leased to the caller.
    New(Order),
    /// The key was used before.
    Before(KeyRow),
}

/// A used idempotency key.
#[derive(Debug)]
pub struct KeyRow {
    /// The meaning of the request it was used for.
    pub fingerprint: Vec<u8>,
    /// The order it was used for.
    pub order_id: Uuid,
    /// The decided answer; `None` while undecided.
    pub answer: Option<Answer>,
}

impl Store {
    /// Stores `new` as pending together with its key, in one statement, and leases it to the caller for `lease`. A key
    /// older than 24 h counts as unused.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is stored then, or (the connection was lost on the commit) recovery will finish it.
    pub async fn place(
        &self,
        scope: &str,
        key: &str,
        new: NewOrder,
        lease: Duration,
    ) -> Result<Placed, StoreError> {
        loop {
            if let Some(created_at) = self.try_place(scope, key, &new, lease).await? {
                return Ok(Placed::New(Order {
                    id: new.id,
                    customer_id: new.placement.customer_id,
                    status: Status::Pending,
                    items: new.placement.items,
                    total_cents: None,
                    currency: None,
                    created_at,
                    updated_at: created_at,
                }));
            }
            // Absent only if it was swept in this very moment; then it is free.
            if let Some(row) = self.key(scope, key).await? {
                return Ok(Placed::Before(row));
            }
        }
    }

    async fn try_place(
        &self,
        scope: &str,
        key: &str,
        new: &NewOrder,
        lease: Duration,
    ) -> Result<Option<OffsetDateTime>, StoreError> {
        let created_at = bounded(sqlx::query_scalar!(
            r#"WITH claimed AS (
                   INSERT INTO idempotency_keys AS used (scope, key, fingerprint, order_id) VALUES ($1, $2, $3, $4)
                   ON CONFLICT (scope, key) DO UPDATE
                   SET fingerprint = excluded.fingerprint, order_id = excluded.order_id, answer = NULL, created_at = now()
                   WHERE used.created_at < now() - interval '24 hours'
                   RETURNING order_id
               )
               INSERT INTO orders (id, customer_id, session, status, items, due_at, attempts)
               SELECT order_id, $5, $6, 'pending', $7, now() + make_interval(secs => $8), 1 FROM claimed
               RETURNING created_at"#,
            scope,
            key,
            new.fingerprint.as_slice(),
            new.id,
            new.placement.customer_id,
            new.session.as_ref().map(<[u8; 32]>::as_slice),
            Json(&new.placement.items) as _,
            lease.as_secs_f64(),
        )
        .fetch_optional(&self.pool)).await?;
        Ok(created_at)
    }

    /// A used key, or `None`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn key(&self, scope: &str, key: &str) -> Result<Option<KeyRow>, StoreError> {
        let row = bounded(sqlx::query!(
            r#"SELECT fingerprint, order_id, answer AS "answer: Json<Answer>" FROM idempotency_keys WHERE scope = $1 AND key = $2"#,
            scope,
            key
        )
        .fetch_optional(&self.pool)).await?;
        Ok(row.map(|row| KeyRow {
            fingerprint: row.fingerprint,
            order_id: row.order_id,
            answer: row.answer.map(|Json(answer)| answer),
        }))
    }

    /// Removes up to `limit` keys that are older than 24 h; how many there were.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sweep_keys(&self, limit: i64) -> Result<u64, StoreError> {
        let swept = bounded(
            sqlx::query!(
                "DELETE FROM idempotency_keys WHERE (scope, key) IN (
                 SELECT scope, key FROM idempotency_keys
                 WHERE created_at < now() - interval '24 hours' LIMIT $1 FOR UPDATE SKIP LOCKED
             )",
                limit
            )
            .execute(&self.pool),
        )
        .await?;
        Ok(swept.rows_affected())
    }
}
