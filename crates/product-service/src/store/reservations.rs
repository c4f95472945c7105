//! Stock held for orders: all of an order's lines or none, from one transaction.

use crate::domain::{ProductId, Quantity};
use serde::Serialize;
use sqlx::PgConnection;
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// What an order wants: product to pieces. A map, so that ids are distinct and come in the order rows are locked in.
pub type Lines = BTreeMap<ProductId, Quantity>;

/// One line of a reservation, with name and price as they were when it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Held {
    /// Which product.
    pub product_id: String,
    /// What it was called.
    pub name: String,
    /// What a piece cost, in minor units.
    pub unit_price_cents: i64,
    /// Pieces.
    pub quantity: i64,
}

/// A line that stock does not cover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shortage {
    /// Which product.
    pub product_id: String,
    /// Pieces wanted.
    pub requested: i64,
    /// Pieces there.
    pub available: i64,
}

/// What came of a reservation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserved {
    /// Made now; and the revisions of the products touched.
    Done(Vec<Held>, Vec<(String, i64)>),
    /// Made before with the same lines.
    Repeated(Vec<Held>),
    /// Made before with other lines.
    Conflict,
    /// Released before (or refused in advance): it must never be made again.
    Released,
    /// Not enough stock; nothing was taken.
    Short(Vec<Shortage>),
    /// Unknown or deleted products; nothing was taken.
    Unknown(Vec<ProductId>),
}

/// Takes stock for `order`. Roll back unless the outcome is [`Reserved::Done`].
///
/// # Errors
/// The database failed.
pub async fn reserve(
    db: &mut PgConnection,
    order: Uuid,
    lines: &Lines,
) -> Result<Reserved, sqlx::Error> {
    // Of two copies of one request the second waits here for the first.
    let first = sqlx::query!(
        "INSERT INTO reservations (order_id, state) VALUES ($1, 'held') ON CONFLICT (order_id) DO NOTHING",
        order
    )
    .execute(&mut *db)
    .await?
    .rows_affected();
    if first == 0 {
        return repeat(db, order, lines).await;
    }
    let ids: Vec<String> = lines.keys().map(|id| id.as_str().to_owned()).collect();
    // The rows are locked as they leave the sort, so in id order, whatever the plan.
    let found = sqlx::query!(
        "SELECT id, name, price_cents, stock FROM products WHERE id = ANY ($1) AND deleted_at IS NULL
         ORDER BY id FOR NO KEY UPDATE",
        &ids
    )
    .fetch_all(&mut *db)
    .await?;
    let found: HashMap<_, _> = found.into_iter().map(|row| (row.id.clone(), row)).collect();
    let unknown: Vec<_> = lines
        .keys()
        .filter(|id| !found.contains_key(id.as_str()))
        .cloned()
        .collect();
    if !unknown.is_empty() {
        return Ok(Reserved::Unknown(unknown));
    }
    let mut held = Vec::with_capacity(lines.len());
    let mut short = Vec::new();
    for (id, quantity) in lines {
        let row = &found[id.as_str()];
        let (product_id, quantity) = (row.id.clone(), quantity.get());
        if row.stock < quantity {
            short.push(Shortage {
                product_id,
                requested: quantity,
                available: row.stock,
            });
        } else {
            held.push(Held {
                product_id,
                name: row.name.clone(),
                unit_price_cents: row.price_cents,
                quantity,
            });
        }
    }
    if !short.is_empty() {
        return Ok(Reserved::Short(short));
    }
    let quantities: Vec<i64> = held.iter().map(|line| line.quantity).collect();
    let names: Vec<String> = held.iter().map(|line| line.name.clone()).collect();
    let prices: Vec<i64> = held.iter().map(|line| line.unit_price_cents).collect();
    sqlx::query!(
        "INSERT INTO reservation_items (order_id, product_id, name, unit_price_cents, quantity)
         SELECT $1, * FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[])",
        order,
        &ids,
        &names,
        &prices,
        &quantities
    )
    .execute(&mut *db)
    .await?;
    let taken: Vec<i64> = quantities.iter().map(|quantity| -quantity).collect();
    Ok(Reserved::Done(held, move_stock(db, &ids, &taken).await?))
}

/// Answers a request for an order that is known already.
async fn repeat(
    db: &mut PgConnection,
    order: Uuid,
    lines: &Lines,
) -> Result<Reserved, sqlx::Error> {
    let state = sqlx::query_scalar!("SELECT state FROM reservations WHERE order_id = $1", order)
        .fetch_one(&mut *db);
    if state.await? == "released" {
        return Ok(Reserved::Released);
    }
    let held = items(db, order).await?;
    let same = held.len() == lines.len()
        && held.iter().zip(lines).all(|(held, (id, quantity))| {
            held.product_id == id.as_str() && held.quantity == quantity.get()
        });
    Ok(if same {
        Reserved::Repeated(held)
    } else {
        Reserved::Conflict
    })
}

async fn items(db: &mut PgConnection, order: Uuid) -> Result<Vec<Held>, sqlx::Error> {
    sqlx::query_as!(
        Held,
        "SELECT product_id, name, unit_price_cents, quantity FROM reservation_items
         WHERE order_id = $1 ORDER BY product_id",
        order
    )
    .fetch_all(db)
    .await
}

/// Gives an order's stock back, once, and leaves a tombstone in any case; the revisions of the products touched.
///
/// # Errors
/// The database failed.
pub async fn release(
    db: &mut PgConnection,
    order: Uuid,
) -> Result<Vec<(String, i64)>, sqlx::Error> {
    let unseen = sqlx::query!(
        "INSERT INTO reservations (order_id, state, released_at) VALUES ($1, 'released', now())
         ON CONFLICT (order_id) DO NOTHING",
        order
    )
    .execute(&mut *db)
    .await?
    .rows_affected();
    if unseen == 1 {
        return Ok(Vec::new());
    }
    let released = sqlx::query!(
        "UPDATE reservations SET state = 'released', released_at = now() WHERE order_id = $1 AND state = 'held'",
        order
    )
    .execute(&mut *db)
    .await?
    .rows_affected();
    if released == 0 {
        return Ok(Vec::new());
    }
    let held = items(db, order).await?;
    let ids: Vec<String> = held.iter().map(|line| line.product_id.clone()).collect();
    let quantities: Vec<i64> = held.iter().map(|line| line.quantity).collect();
    sqlx::query!(
        "SELECT id FROM products WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE",
        &ids
    )
    .fetch_all(&mut *db)
    .await?;
    move_stock(db, &ids, &quantities).await
}

/// Changes the stock of rows that the transaction holds; their new revisions.
async fn move_stock(
    db: &mut PgConnection,
    ids: &[String],
    quantities: &[i64],
) -> Result<Vec<(String, i64)>, sqlx::Error> {
    let touched = sqlx::query!(
        "UPDATE products p SET stock = p.stock + line.quantity, revision = p.revision + 1
         FROM unnest($1::text[], $2::bigint[]) AS line (id, quantity)
         WHERE p.id = line.id RETURNING p.id, p.revision",
        ids,
        quantities
    )
    .fetch_all(db)
    .await?;
    Ok(touched
        .into_iter()
        .map(|row| (row.id, row.revision))
        .collect())
}
