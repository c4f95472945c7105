//! What can be configured beside the shared sections.

use std::time::Duration;

use common::config::{ConfigError, DatabaseConfig, RedisConfig, Secret, ServiceConfig, millis};
use serde::Deserialize;

use crate::saga::Policy;

/// order-service's own configuration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `DATABASE_URL` or `DATABASE__*`: the database `orders`.
    pub database: DatabaseConfig,
    /// `REDIS_URL`, `REDIS__PASSWORD`: the carts.
    pub redis: RedisConfig,
    /// `ADMIN_TOKEN`: who may read other customers' orders. Absent: nobody.
    pub admin_token: Option<Secret>,
    /// `PRODUCT__*`.
    pub product: ProductConfig,
    /// `ORDERS__*`.
    pub orders: OrdersConfig,
}

/// Where product-service is, when not by the registry.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProductConfig {
    /// `PRODUCT__URL`: one base URL, used instead of the registry's view.
    pub url: Option<String>,
}

/// Durations of the saga.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrdersConfig {
    /// How long a request waits for the decision before it is answered 202.
    #[serde(deserialize_with = "millis::deserialize")]
    pub answer_within_ms: Duration,
    /// How long a worker has for one step before another may take the order over. More than `answer_within_ms`.
    #[serde(deserialize_with = "millis::deserialize")]
    pub lease_ms: Duration,
    /// How long after its confirmation an order can be cancelled.
    #[serde(deserialize_with = "millis::deserialize")]
    pub cancel_window_ms: Duration,
    /// How often recovery looks for due orders.
    #[serde(deserialize_with = "millis::deserialize")]
    pub recovery_interval_ms: Duration,
}

impl Default for OrdersConfig {
    fn default() -> Self {
        Self {
            answer_within_ms: Duration::from_secs(5),
            lease_ms: Duration::from_secs(8),
            cancel_window_ms: Duration::from_secs(24 * 3600),
            recovery_interval_ms: Duration::from_secs(1),
        }
    }
}

impl From<&OrdersConfig> for Policy {
    fn from(config: &OrdersConfig) -> Self {
        Self {
            answer_within: config.answer_within_ms,
            lease: config.lease_ms,
            cancel_window: config.cancel_window_ms,
            recovery_interval: config.recovery_interval_ms,
        }
    }
}

impl ServiceConfig for Config {
    fn validate(&self) -> Result<(), ConfigError> {
        self.database.runtime_url()?;
        self.database.owner_url()?;
        self.redis.connection_url()?;
        if let Some(url) = &self.product.url {
            let base = reqwest::Url::parse(url)
                .ok()
                .filter(|url| url.scheme() == "http" && url.path() == "/");
            base.ok_or_else(|| ConfigError::new("product.url", "must be http://host:port"))?;
        }
        if self.orders.lease_ms <= self.orders.answer_within_ms {
            return Err(ConfigError::new(
                "orders.lease_ms",
                "must be more than ORDERS__ANSWER_WITHIN_MS",
            ));
        }
        if self.orders.recovery_interval_ms.is_zero() {
            return Err(ConfigError::new(
                "orders.recovery_interval_ms",
                "must be 1 or more",
            ));
        }
        Ok(())
    }
}
