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
use sqlx::PgPool;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks at the database.
const LOOK: Duration = Duration::from_secs(2);
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
    let looked_at = pool.clone();
    tokio::spawn(async move {
        prepare(owner.expose(), &schema).await;
        watch(&looked_at, &postgres).await;
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
    let pool = store::owner_pool(owner)?;
    store::migrate::run(&pool).await?;
    let seeded = store::seed::run(&pool).await?;
    pool.close().await;
    Ok(seeded)
}

/// Looks at the database through the runtime role's pool, for as long as the service runs.
async fn watch(pool: &PgPool, postgres: &DependencyHandle) {
    loop {
        match sqlx::query("SELECT 1").execute(pool).await {
            Ok(_) => postgres.ok(),
            Err(error) => postgres.failed(error),
        }
        tokio::time::sleep(LOOK).await;
    }
}
