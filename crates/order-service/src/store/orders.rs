//! Reading orders.

use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Store, StoreError, bounded};
use crate::domain::{Item, Order, Status};

/// Whose orders a list shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// Those placed in one browser session, by the hash of its id.
    Session([u8; 32]),
    /// Those of one customer.
    Customer(String),
}

/// The columns of an order as its owner sees it.
pub(super) struct OrderRow {
    pub(super) id: Uuid,
    pub(super) customer_id: String,
    pub(super) status: String,
    pub(super) items: Json<Vec<Item>>,
    pub(super) total_cents: Option<i64>,
    pub(super) currency: Option<String>,
    pub(super) created_at: OffsetDateTime,
    pub(super) updated_at: OffsetDateTime,
}

impl TryFrom<OrderRow> for Order {
    type Error = StoreError;

    fn try_from(row: OrderRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id,
            customer_id: row.customer_id,
            status: Status::parse(&row.status).ok_or(StoreError::Unreadable(row.id))?,
            items: row.items.0,
            total_cents: row.total_cents,
            currency: row.currency,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

impl Store {
    /// One order, or `None`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn order(&self, id: Uuid) -> Result<Option<Order>, StoreError> {
        let row = bounded(sqlx::query_as!(
            OrderRow,
            r#"SELECT id, customer_id, status, items AS "items: Json<Vec<Item>>", total_cents, currency, created_at, updated_at
               FROM orders WHERE id = $1"#,
            id
        )
        .fetch_optional(&self.pool)).await?;
        row.map(Order::try_from).transpose()
    }

    /// Up to `limit` of an owner's orders, newest first, beginning after `before`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn orders(
        &self,
        owner: &Owner,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Order>, StoreError> {
        let before = before.unwrap_or(Uuid::max());
        let rows = match owner {
            Owner::Customer(customer_id) => {
                bounded(sqlx::query_as!(
                    OrderRow,
                    r#"SELECT id, customer_id, status, items AS "items: Json<Vec<Item>>", total_cents, currency, created_at, updated_at
                       FROM orders WHERE customer_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3"#,
                    customer_id,
                    before,
                    limit
                )
                .fetch_all(&self.pool)).await?
            }
            Owner::Session(session) => {
                bounded(sqlx::query_as!(
                    OrderRow,
                    r#"SELECT id, customer_id, status, items AS "items: Json<Vec<Item>>", total_cents, currency, created_at, updated_at
                       FROM orders WHERE session = $1 AND id < $2 ORDER BY id DESC LIMIT $3"#,
                    session.as_slice(),
                    before,
                    limit
                )
                .fetch_all(&self.pool)).await?
            }
        };
        rows.into_iter().map(Order::try_from).collect()
    }
}
