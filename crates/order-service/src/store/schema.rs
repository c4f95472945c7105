//! Migrations, run at every start by the owner role. Replicas may race: sqlx holds an advisory lock while it migrates.

use std::time::Duration;

use common::{health::DependencyHandle, problem::Chain};
use sqlx::{
    ConnectOptions,
    migrate::{MigrateError, Migrator},
    postgres::PgConnectOptions,
};

/// The migrations, compiled in.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// Pause between attempts.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// Longest wait for one attempt, the wait for another replica's lock included.
const ATTEMPT: Duration = Duration::from_secs(30);

/// Migrates, trying again until PostgreSQL is there and the owner role may log in.
pub async fn migrate_until_done(owner: PgConnectOptions, postgres: DependencyHandle) {
    loop {
        match tokio::time::timeout(ATTEMPT, migrate(owner.clone())).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => postgres.failed(Chain(&error)),
            Err(_) => postgres.failed(format!(
                "migrations did not end within {} s",
                ATTEMPT.as_secs()
            )),
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

async fn migrate(owner: PgConnectOptions) -> Result<(), MigrateError> {
    let mut connection = owner.connect().await?;
    MIGRATOR.run_direct(None, &mut connection, false).await
}
