//! Puts the service together, and keeps what it needs in view. Nothing here waits for a dependency: a service whose stores
//! are away starts, says that it is not ready, and goes on trying.

use std::{str::FromStr, time::Duration};

use common::{
    auth::BearerAuth,
    config::{ConfigError, RegistryConfig},
    health::{DependencyHandle, Health},
    registry::Watch,
};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio_util::sync::CancellationToken;

use crate::{
    api::AppState,
    carts::Carts,
    config::Config,
    products::{Instances, Products},
    saga::{Saga, recovery},
    store::{Store, migrate_until_done},
};

/// Connections to PostgreSQL. Four replicas of two services stay well below the server's 100.
const POOL: u32 = 10;
/// Longest wait for a connection; then the request is answered 503.
const ACQUIRE: Duration = Duration::from_secs(2);
/// Between two looks at a dependency.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// Something that ends the start: a bad configuration, or a client that cannot be built.
pub type StartError = Box<dyn std::error::Error + Send + Sync>;

/// Builds the state and starts the background work, which ends with `stop`.
///
/// # Errors
/// When the configuration cannot work, whatever the stores do.
pub fn start(
    config: &Config,
    registry: &RegistryConfig,
    health: &Health,
    stop: &CancellationToken,
) -> Result<AppState, StartError> {
    let owner = connect_options(config.database.owner_url()?.expose(), 60_000)?;
    let runtime = connect_options(config.database.runtime_url()?.expose(), 3_000)?;
    let pool = PgPoolOptions::new()
        .max_connections(POOL)
        .acquire_timeout(ACQUIRE)
        .connect_lazy_with(runtime);
    let store = Store::new(pool);
    let carts = Carts::new(&config.redis.connection_url()?)?;
    let instances = match &config.product.url {
        Some(url) => Instances::fixed(url),
        None => Instances::watched(Watch::start(registry, &["product-service".parse()?])?),
    };
    let products = Products::new(instances)?;
    let saga = Saga::new(store.clone(), products.clone(), (&config.orders).into());

    let (postgres, redis) = (health.dependency("postgres"), health.optional("redis"));
    let (recovering, stopped, stored) = (saga.clone(), stop.clone(), store.clone());
    tokio::spawn(async move {
        let migrating = migrate_until_done(owner, postgres.clone());
        if stopped.run_until_cancelled(migrating).await.is_some() {
            tokio::join!(
                recovery::run(recovering, stopped.clone()),
                watch_postgres(stored, postgres, stopped)
            );
        }
    });
    let (watched, stopped) = (carts.clone(), stop.clone());
    tokio::spawn(watch_redis(watched, redis, stopped));

    Ok(AppState {
        store,
        saga,
        carts,
        products,
        admin: BearerAuth::new(config.admin_token.clone()),
    })
}

/// Server-side limits end what a lost or hung client left: a row lock is never held for long.
fn connect_options(url: &str, statement_timeout_ms: u32) -> Result<PgConnectOptions, ConfigError> {
    let options = PgConnectOptions::from_str(url).map_err(|error| {
        ConfigError::new("database.url", format!("is no PostgreSQL URL: {error}"))
    })?;
    Ok(options.application_name("order-service").options([
        ("statement_timeout", statement_timeout_ms.to_string()),
        ("idle_in_transaction_session_timeout", "5000".to_owned()),
    ]))
}

async fn watch_postgres(store: Store, postgres: DependencyHandle, stop: CancellationToken) {
    loop {
        match store.ping().await {
            Ok(()) => postgres.ok(),
            Err(error) => postgres.failed(error),
        }
        if stop
            .run_until_cancelled(tokio::time::sleep(CHECK_EVERY))
            .await
            .is_none()
        {
            return;
        }
    }
}

async fn watch_redis(carts: Carts, redis: DependencyHandle, stop: CancellationToken) {
    loop {
        match carts.ping().await {
            Ok(()) => redis.ok(),
            Err(error) => redis.failed(error),
        }
        if stop
            .run_until_cancelled(tokio::time::sleep(CHECK_EVERY))
            .await
            .is_none()
        {
            return;
        }
    }
}
