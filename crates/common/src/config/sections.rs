//! The sections that services share.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::{ConfigError, ListenAddr, Secret};
use crate::registry::InstanceId;

/// What every service understands.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Base {
    /// `HTTP__*`: where and how the service listens.
    pub http: HttpConfig,
    /// `ADMIN__*`: the same for the admin side, of services that have one.
    pub admin: HttpConfig,
    /// `SERVICE_REGISTRY`, `ADVERTISE_CIDR`, `REGISTRY_TOKEN`.
    pub registry: RegistryConfig,
    /// `INSTANCE_ID`: this instance's name among its siblings; the host name by default.
    pub instance_id: Option<InstanceId>,
    /// `LOG_FORMAT`: pretty on a terminal, otherwise JSON, by default.
    pub log_format: Option<LogFormat>,
    /// `RUST_LOG`: tracing-subscriber's filter syntax.
    pub rust_log: String,
    /// `SHUTDOWN_MS`: from the first signal to the hard end. Below the platform's own grace period (15 s).
    #[serde(deserialize_with = "super::millis::deserialize")]
    pub shutdown_ms: Duration,
    /// `WORKERS`: the runtime's threads; the service's own default otherwise.
    pub workers: Option<usize>,
}

impl Default for Base {
    fn default() -> Self {
        Self {
            http: HttpConfig::default(),
            admin: HttpConfig::default(),
            registry: RegistryConfig::default(),
            instance_id: None,
            log_format: None,
            rust_log: "info".into(),
            shutdown_ms: Duration::from_secs(12),
            workers: None,
        }
    }
}

impl Base {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        if self.workers == Some(0) {
            return Err(ConfigError::new("workers", "must be 1 or more"));
        }
        self.http.validate("http")?;
        self.admin.validate("admin")
    }
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
}

/// A listening side and its limits.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// `ip:port` or `cidr:port`, several by commas; loopback at the service's own port when empty.
    pub listen: Vec<ListenAddr>,
    /// From a request's first byte to the end of its headers.
    #[serde(deserialize_with = "super::millis::deserialize")]
    pub header_read_ms: Duration,
    /// How long a connection may stay open without a request. Longer than any client of ours keeps idle connections.
    #[serde(deserialize_with = "super::millis::deserialize")]
    pub idle_ms: Duration,
    /// From a request's headers to its answer's headers; 503 after it.
    #[serde(deserialize_with = "super::millis::deserialize")]
    pub request_ms: Duration,
    /// How long requests in flight may take to finish at shutdown.
    #[serde(deserialize_with = "super::millis::deserialize")]
    pub drain_ms: Duration,
    /// Between telling the registry and closing the door at shutdown, while everything is still answered.
    #[serde(deserialize_with = "super::millis::deserialize")]
    pub linger_ms: Duration,
    /// Bytes of a request body; 413 above.
    pub max_body_bytes: usize,
    /// Bytes of a request line and headers (8192 or more); 431 above.
    pub max_header_bytes: usize,
    /// Header fields of a request (100 or less); 431 above.
    pub max_headers: usize,
    /// Open connections; more wait in the kernel's queue.
    pub max_connections: usize,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            header_read_ms: Duration::from_secs(10),
            idle_ms: Duration::from_secs(75),
            request_ms: Duration::from_secs(30),
            drain_ms: Duration::from_secs(8),
            linger_ms: Duration::from_millis(200),
            max_body_bytes: 256 * 1024,
            max_header_bytes: 16 * 1024,
            max_headers: 64,
            max_connections: 4096,
        }
    }
}

impl HttpConfig {
    /// The configured addresses, or loopback at `port`.
    pub fn listen_or(&self, port: u16) -> Vec<ListenAddr> {
        if self.listen.is_empty() {
            vec![ListenAddr::Socket(SocketAddr::from((
                Ipv4Addr::LOCALHOST,
                port,
            )))]
        } else {
            self.listen.clone()
        }
    }

    fn validate(&self, section: &str) -> Result<(), ConfigError> {
        let error =
            |key: &str, message: &str| Err(ConfigError::new(&format!("{section}.{key}"), message));
        match self {
            Self {
                max_header_bytes: ..8192,
                ..
            } => error("max_header_bytes", "must be 8192 or more"),
            Self {
                max_headers: 0 | 101..,
                ..
            } => error("max_headers", "must be between 1 and 100"),
            Self {
                max_connections: 0, ..
            } => error("max_connections", "must be 1 or more"),
            _ => Ok(()),
        }
    }
}

/// How to find the registry and what to tell it.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegistryConfig {
    /// `SERVICE_REGISTRY`: base URLs; each name stands for all its addresses. Empty: run without a registry.
    pub urls: Vec<String>,
    /// `ADVERTISE_CIDR`: advertise the local address inside this network.
    pub advertise_cidr: Option<IpNet>,
    /// `REGISTRY_TOKEN`: sent (and by the registry required) with every write.
    pub token: Option<Secret>,
    /// How often a lease is renewed, with jitter.
    #[serde(deserialize_with = "super::millis::deserialize")]
    pub renew_ms: Duration,
    /// The lease asked for.
    #[serde(deserialize_with = "super::millis::deserialize")]
    pub ttl_ms: Duration,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            advertise_cidr: None,
            token: None,
            renew_ms: Duration::from_secs(3),
            ttl_ms: Duration::from_secs(10),
        }
    }
}

/// A PostgreSQL database with a runtime role and an owner role. `DATABASE_URL` alone serves as both.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// `DATABASE_URL`: everything at once; the parts are not looked at then.
    pub url: Option<Secret>,
    /// A host name, address, or the directory of a unix socket.
    pub host: Option<String>,
    /// 5432 by default.
    pub port: Option<u16>,
    /// The database.
    pub name: Option<String>,
    /// The runtime role.
    pub user: Option<String>,
    /// The runtime role's password.
    pub password: Option<Secret>,
    /// The owner role, which migrates.
    pub owner: OwnerConfig,
}

/// The role that owns the schema.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OwnerConfig {
    /// `DATABASE__OWNER__URL`: everything at once.
    pub url: Option<Secret>,
    /// The owner role; the runtime role when absent.
    pub user: Option<String>,
    /// The owner role's password.
    pub password: Option<Secret>,
}

impl DatabaseConfig {
    /// A `postgres://` URL for the runtime role.
    pub fn runtime_url(&self) -> Result<Secret, ConfigError> {
        match &self.url {
            Some(url) => Ok(url.clone()),
            None => self.url_for(self.user.as_deref(), self.password.as_ref()),
        }
    }

    /// A `postgres://` URL for the owner role.
    pub fn owner_url(&self) -> Result<Secret, ConfigError> {
        match (&self.owner.url, &self.url, &self.owner.user) {
            (Some(url), _, _) | (None, Some(url), _) => Ok(url.clone()),
            (None, None, Some(user)) => self.url_for(Some(user), self.owner.password.as_ref()),
            (None, None, None) => self.runtime_url(),
        }
    }

    fn url_for(
        &self,
        user: Option<&str>,
        password: Option<&Secret>,
    ) -> Result<Secret, ConfigError> {
        let required = |key: &str, value: Option<&str>| match value {
            Some(value) => Ok(utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()),
            None => Err(ConfigError::new(
                &format!("database.{key}"),
                "is required when DATABASE_URL is not set",
            )),
        };
        // Only a socket directory needs encoding in a host's place; names and addresses go as they are.
        let host = required("host", self.host.as_deref())?;
        let host = self
            .host
            .as_ref()
            .filter(|host| !host.starts_with('/'))
            .unwrap_or(&host);
        let name = required("name", self.name.as_deref())?;
        let user = required("user", user)?;
        let password = password
            .map(|password| {
                format!(
                    ":{}",
                    utf8_percent_encode(password.expose(), NON_ALPHANUMERIC)
                )
            })
            .unwrap_or_default();
        let port = self.port.unwrap_or(5432);
        Ok(Secret::new(format!(
            "postgres://{user}{password}@{host}:{port}/{name}"
        )))
    }
}

/// A Redis server.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedisConfig {
    /// `REDIS_URL`: `redis://user@host:port/db` or `redis+unix:///path`; `redis://127.0.0.1:6379` when absent.
    pub url: Option<Secret>,
    /// `REDIS__PASSWORD`: put into the URL.
    pub password: Option<Secret>,
}

impl RedisConfig {
    /// The URL with the password in it.
    pub fn connection_url(&self) -> Result<Secret, ConfigError> {
        let url = self
            .url
            .as_ref()
            .map_or("redis://127.0.0.1:6379", Secret::expose);
        let Some(password) = &self.password else {
            return Ok(Secret::new(url));
        };
        let mut parsed = reqwest::Url::parse(url)
            .map_err(|error| ConfigError::new("redis.url", error.to_string()))?;
        parsed.set_password(Some(password.expose())).map_err(|()| {
            ConfigError::new("redis.url", "has no host that a password could belong to")
        })?;
        Ok(Secret::new(String::from(parsed)))
    }
}
