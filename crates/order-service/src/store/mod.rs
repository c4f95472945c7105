//! Orders and idempotency keys in PostgreSQL. Time is the database's own (`now()`), so replicas need not agree on theirs.

mod error;
mod keys;
mod orders;
mod schema;
mod steps;

pub use error::StoreError;
pub use keys::{KeyRow, NewOrder, Placed};
pub use orders::Owner;
pub use schema::{MIGRATOR, migrate_until_done};
pub use steps::{Advanced, Due};

use std::time::Duration;

use sqlx::PgPool;

/// Longest wait for one operation, the wait for a connection included. Longer than the server's own `statement_timeout`,
/// so that it only strikes when the server or the way to it hangs.
const PATIENCE: Duration = Duration::from_secs(4);

async fn bounded<T, E: Into<StoreError>>(
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(outcome) => outcome.map_err(Into::into),
        Err(_) => Err(StoreError::Silent),
    }
}

/// What is stored of orders. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
}

impl Store {
    /// A store over the runtime role's pool.
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Whether PostgreSQL answers.
    ///
    /// # Errors
    /// [`StoreError::Away`] when it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        bounded(sqlx::query("SELECT 1").execute(&self.pool)).await?;
        Ok(())
    }

    /// Closes the pool, waiting for connections in use.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
