//! What can be set about the gateway, beside the shared sections.

use std::time::Duration;

use common::config::{ConfigError, HttpConfig, ServiceConfig};
use serde::Deserialize;

use crate::balance::Policy;
use crate::breaker::EjectionConfig;
use crate::retry::RetryConfig;

/// The gateway's own sections.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `BALANCE`: `round-robin` or `least-request`.
    pub balance: Policy,
    /// `UPSTREAM__*`: connections and deadlines towards services.
    pub upstream: UpstreamConfig,
    /// `RETRY__*`.
    pub retry: RetryConfig,
    /// `EJECTION__*`.
    pub ejection: EjectionConfig,
}

/// Connections and deadlines towards services.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamConfig {
    /// For a TCP connection.
    #[serde(deserialize_with = "common::config::millis::deserialize")]
    pub connect_ms: Duration,
    /// From the start of a try to its answer's head. The whole request has `HTTP__REQUEST_MS`.
    #[serde(deserialize_with = "common::config::millis::deserialize")]
    pub try_ms: Duration,
    /// The same for a read (GET, HEAD) while another instance can be asked instead, and the retries' budget allows it. Longer
    /// than services wait for a connection to their stores (3 s), whose outage they answer themselves.
    #[serde(deserialize_with = "common::config::millis::deserialize")]
    pub read_try_ms: Duration,
    /// The longest silence within a body, in either direction.
    #[serde(deserialize_with = "common::config::millis::deserialize")]
    pub pause_ms: Duration,
    /// How long an idle connection is kept. Shorter than services keep theirs (75 s), or they close it under a request.
    #[serde(deserialize_with = "common::config::millis::deserialize")]
    pub idle_ms: Duration,
    /// How recently a connection must have been used to carry a request that must not be sent twice.
    #[serde(deserialize_with = "common::config::millis::deserialize")]
    pub reuse_unsafe_ms: Duration,
    /// Idle connections kept for each instance by each worker.
    pub max_idle: usize,
    /// Bytes of a request body up to which it is kept for another try.
    pub keep_body_bytes: usize,
}

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            connect_ms: Duration::from_secs(1),
            try_ms: Duration::from_secs(10),
            read_try_ms: Duration::from_millis(3_500),
            pause_ms: Duration::from_secs(10),
            idle_ms: Duration::from_secs(30),
            reuse_unsafe_ms: Duration::from_secs(2),
            max_idle: 256,
            keep_body_bytes: 64 * 1024,
        }
    }
}

impl ServiceConfig for Config {
    fn validate(&self) -> Result<(), ConfigError> {
        let positive = |key: &str, value: Duration| {
            if value.is_zero() {
                Err(ConfigError::new(key, "must be 1 or more"))
            } else {
                Ok(())
            }
        };
        positive("upstream.connect_ms", self.upstream.connect_ms)?;
        positive("upstream.try_ms", self.upstream.try_ms)?;
        positive("upstream.read_try_ms", self.upstream.read_try_ms)?;
        positive("upstream.pause_ms", self.upstream.pause_ms)?;
        if self.ejection.consecutive == 0 {
            return Err(ConfigError::new(
                "ejection.consecutive",
                "must be 1 or more",
            ));
        }
        Ok(())
    }
}

/// The longest request target (path and query), in bytes.
pub const MAX_TARGET_BYTES: usize = 8 * 1024;

/// What a request may be at most.
#[derive(Debug, Clone, Copy)]
pub struct RequestLimits {
    /// Header fields.
    pub max_headers: usize,
    /// Bytes of header fields.
    pub max_header_bytes: usize,
    /// Bytes of the path and query.
    pub max_target_bytes: usize,
    /// Bytes of a body.
    pub max_body_bytes: usize,
    /// From the request's head to its answer's.
    pub deadline: Duration,
}

impl From<&HttpConfig> for RequestLimits {
    fn from(http: &HttpConfig) -> Self {
        Self {
            max_headers: http.max_headers,
            max_header_bytes: http.max_header_bytes,
            max_target_bytes: MAX_TARGET_BYTES,
            max_body_bytes: http.max_body_bytes,
            deadline: http.request_ms,
        }
    }
}
