//! The schema. Replicas may race: sqlx holds an advisory lock while it migrates.

use sqlx::PgConnection;
use sqlx::migrate::{MigrateError, Migrator};

/// Every migration, embedded.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// Brings the schema up to date, by the owner role.
///
/// # Errors
/// The database failed, or holds a schema this release does not know.
pub async fn run(owner: &mut PgConnection) -> Result<(), MigrateError> {
    // What `run` does, spelled so that the future can move between threads (sqlx's `Acquire` is not general enough).
    MIGRATIONS.run_direct(None, owner, false).await
}
