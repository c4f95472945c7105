//! SQL, and nothing but SQL: what a request means is decided by its callers, what the cache must hear is told by
//! [`crate::cache::Touched`].
//!
//! Locks are always taken in this order: a reservation's row, product rows by id, a movement's id, the catalogue's row.
//! Two transactions can then wait for each other in one direction only, and no deadlock is possible.

pub mod migrate;
pub mod products;
pub mod reservations;
pub mod seed;
pub mod stock;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use std::str::FromStr;
use std::time::Duration;

/// Bounds every statement and every wait for a row, so that no request can hold a lock for long.
const LIMITS: [(&str, &str); 3] = [
    ("statement_timeout", "4s"),
    ("lock_timeout", "3s"),
    ("idle_in_transaction_session_timeout", "10s"),
];

/// A pool for the runtime role. It connects on first use: the database may come up later.
///
/// # Errors
/// `url` is not a PostgreSQL URL.
pub fn pool(url: &str, connections: u32) -> Result<PgPool, sqlx::Error> {
    let options = PgConnectOptions::from_str(url)?
        .application_name("product-service")
        .options(LIMITS);
    Ok(PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(3))
        .idle_timeout(Duration::from_secs(300))
        .connect_lazy_with(options))
}
