//! From configuration to a serving process. A database that is missing is waited for: the service listens at once,
//! stays unready, and keeps trying in the background.

use crate::cache::Cache;
use crate::config::Config;
use crate::routes::app;
use crate::shop::Shop;
use crate::store;
use common::clock;
use common::config::ConfigError;
use common::health::DependencyHandle;
use common::service::{BoxError, Context};
use sqlx::{Connection, PgConnection};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks at the database.
const LOOK: Duration = Duration::from_secs(2);
/// Longest wait for a connection, or for an answer to a look.
const PATIENCE: Duration = Duration::from_secs(3);
/// Pauses between attempts to prepare the schema grow from this...
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// ...to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// Runs the service until it is told to end.
///
/// # Errors
/// The configuration cannot be used, or a listener cannot be opened.
pub async fn serve(ctx: Context<Config>) -> Result<(), BoxError> {
    let config = &ctx.config;
    let owner = config.database.owner_url()?;
    let pool = store::pool(
        config.database.runtime_url()?.expose(),
        config.database_connections,
    )
    .map_err(|error| ConfigError::new("database.url", error.to_string()))?;
    let cache = Cache::new(
        config.redis.connection_url()?.expose(),
        config.cache.times(),
        &config.currency,
    )
    .map_err(|error| ConfigError::new("redis.url", error.to_string()))?;
    let cache = Arc::new(cache);

    // Without the cache the service is slower, not wrong: it is shown in /ready and never makes the instance unready.
    let redis = ctx.health.optional("redis");
    let keeper = Arc::clone(&cache);
    tokio::spawn(async move {
        keeper
            .keep(|state| state.map_or_else(|error| redis.failed(error), |()| redis.ok()))
            .await;
    });
    let (schema, postgres) = (
        ctx.health.dependency("schema"),
        ctx.health.dependency("postgres"),
    );
    let runtime = config.database.runtime_url()?;
    tokio::spawn(async move {
        prepare(owner.expose(), &schema).await;
        watch(runtime.expose(), &postgres).await;
    });

    let shop = Shop::new(
        pool.clone(),
        cache,
        config.currency.clone(),
        config.admin_token.clone(),
    );
    let served = ctx.serve(app(Arc::new(shop))).await;
    pool.close().await;
    served
}

/// Migrates and seeds by the owner role, however often it takes.
async fn prepare(owner: &str, schema: &DependencyHandle) {
    let mut pause = FIRST_PAUSE;
    loop {
        match prepare_once(owner).await {
            Ok(0) => break,
            Ok(seeded) => {
                tracing::info!(products = seeded, "the catalogue is seeded");
                break;
            }
            Err(error) => schema.failed(error),
        }
        tokio::time::sleep(clock::jitter(pause, 0.2)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    schema.ok();
}

async fn prepare_once(owner: &str) -> Result<usize, sqlx::Error> {
    let mut connection = connect(owner).await?;
    store::migrate::run(&mut connection).await?;
    let seeded = store::seed::run(&mut connection).await?;
    connection.close().await?;
    Ok(seeded)
}

/// Looks at the database for as long as the service runs, over a connection of its own: a pool that is busy is no outage,
/// and would hide an outage's reason behind a time-out.
async fn watch(runtime: &str, postgres: &DependencyHandle) {
    loop {
        match connect(runtime).await {
            Ok(mut connection) => {
                while let Ok(Ok(())) = tokio::time::timeout(PATIENCE, connection.ping()).await {
                    postgres.ok();
                    tokio::time::sleep(LOOK).await;
                }
            }
            Err(error) => postgres.failed(error),
        }
        tokio::time::sleep(LOOK / 4).await;
    }
}

async fn connect(url: &str) -> Result<PgConnection, sqlx::Error> {
    let connecting = tokio::time::timeout(PATIENCE, PgConnection::connect(url)).await;
    connecting.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
}
