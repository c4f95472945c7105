//! This service's own configuration, beside what every service shares.

use crate::cache::Times;
use common::config::{ConfigError, DatabaseConfig, RedisConfig, Secret, ServiceConfig};
use serde::Deserialize;
use std::time::Duration;

/// See [`common::config`] for how it is read.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `DATABASE_URL` or `DATABASE__*`: the database `catalog`.
    pub database: DatabaseConfig,
    /// `DATABASE_CONNECTIONS`: most connections of this instance.
    pub database_connections: u32,
    /// `REDIS_URL`, `REDIS__*`: the cache.
    pub redis: RedisConfig,
    /// `CACHE__*`: times of the cache.
    pub cache: CacheConfig,
    /// `ADMIN_TOKEN`: what changes to the catalogue need; unset, nobody can make any.
    pub admin_token: Option<Secret>,
    /// `CURRENCY`: the deployment's one currency, three letters of ISO 4217.
    pub currency: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            database: DatabaseConfig::default(),
            database_connections: 10,
            redis: RedisConfig::default(),
            cache: CacheConfig::default(),
            admin_token: None,
            currency: "USD".into(),
        }
    }
}

impl ServiceConfig for Config {
    fn validate(&self) -> Result<(), ConfigError> {
        if self.currency.len() != 3
            || !self
                .currency
                .bytes()
                .all(|letter| letter.is_ascii_uppercase())
        {
            return Err(ConfigError::new(
                "currency",
                "must be three capital letters (ISO 4217)",
            ));
        }
        if !(1..=1000).contains(&self.database_connections) {
            return Err(ConfigError::new(
                "database_connections",
                "must be 1 to 1000",
            ));
        }
        self.cache.validate()
    }
}

/// Times of the cache, in ms.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheConfig {
    /// `CACHE__TTL_MS`: how long an answer is kept, give or take a fifth.
    #[serde(deserialize_with = "common::config::millis::deserialize")]
    pub ttl_ms: Duration,
    /// `CACHE__ABSENT_TTL_MS`: how long an unknown id is remembered.
    #[serde(deserialize_with = "common::config::millis::deserialize")]
    pub absent_ttl_ms: Duration,
    /// `CACHE__TIMEOUT_MS`: longest wait for Redis before it is bypassed.
    #[serde(deserialize_with = "common::config::millis::deserialize")]
    pub timeout_ms: Duration,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            ttl_ms: Duration::from_secs(60),
            absent_ttl_ms: Duration::from_secs(15),
            timeout_ms: Duration::from_millis(150),
        }
    }
}

impl CacheConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        // An announced change is remembered for ten minutes, and has to outlive every value.
        let longest = Duration::from_secs(300);
        for (key, value) in [
            ("cache.ttl_ms", self.ttl_ms),
            ("cache.absent_ttl_ms", self.absent_ttl_ms),
        ] {
            if value.is_zero() || value > longest {
                return Err(ConfigError::new(key, "must be 1 to 300000"));
            }
        }
        if self.timeout_ms.is_zero() || self.timeout_ms > Duration::from_secs(5) {
            return Err(ConfigError::new("cache.timeout_ms", "must be 1 to 5000"));
        }
        Ok(())
    }

    /// As the cache takes them.
    pub fn times(&self) -> Times {
        Times {
            ttl: self.ttl_ms,
            absent_ttl: self.absent_ttl_ms,
            timeout: self.timeout_ms,
        }
    }
}
