//! Configuration: built-in defaults <- `CONFIG_FILE` (TOML) <- environment, the environment last.
//!
//! A configuration is a plain `#[derive(Deserialize)] #[serde(default, deny_unknown_fields)]` struct. Its fields are the
//! names that the environment may set: `cache: CacheConfig { ttl_ms }` is `CACHE__TTL_MS`, a text field takes the value
//! verbatim (`INSTANCE_ID=1` is text), lists are comma-separated, an empty optional is absent. Any text key may be given
//! as `<KEY>_FILE` instead: the file's content without one trailing newline. A few names have an established flat
//! spelling (`DATABASE_URL`, ...): see [`ALIASES`]. Errors name the key as the environment spells it.

mod de;
mod error;
mod layers;
mod listen;
mod secret;
mod sections;

use serde::de::DeserializeOwned;

pub use self::error::ConfigError;
pub use self::layers::{ALIASES, Layers};
pub use self::listen::ListenAddr;
pub use self::secret::Secret;
pub use self::sections::{
    Base, DatabaseConfig, HttpConfig, LogFormat, OwnerConfig, RedisConfig, RegistryConfig,
};

/// A service's own configuration, beside the shared [`Base`].
pub trait ServiceConfig: DeserializeOwned + Send + Sync + 'static {
    /// What types alone cannot say, checked before anything is started. Name the key with [`ConfigError::new`].
    fn validate(&self) -> Result<(), ConfigError> {
        Ok(())
    }
}

/// For services that need nothing beyond [`Base`].
#[derive(Debug, Clone, Copy, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NoConfig {}

impl ServiceConfig for NoConfig {}

/// Loads and validates [`Base`] and a service's own configuration from this process's environment.
pub fn load<C: ServiceConfig>() -> Result<(Base, C), ConfigError> {
    let known = [de::fields_of::<Base>(), de::fields_of::<C>()].concat();
    let layers = Layers::from_process(&known)?;
    let (base, own) = (layers.extract::<Base>()?, layers.extract::<C>()?);
    base.validate()?;
    own.validate()?;
    Ok((base, own))
}

/// Durations in configuration are whole milliseconds, in keys that end in `_ms`.
pub mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer};

    /// For `#[serde(deserialize_with = "common::config::millis::deserialize")]`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests;
