//! What can be set.

use std::time::Duration;

use common::config::{ConfigError, ServiceConfig, millis};
use ipnet::IpNet;
use serde::Deserialize;

use crate::core::Limits;

/// The registry's own configuration. `REGISTRY_TOKEN`, shared with its clients, is part of the common one.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `PROBE_CIDRS`: only addresses inside these may register, because the registry dials them. Loopback and private
    /// networks (RFC 1918, RFC 4193) by default.
    pub probe_cidrs: Vec<IpNet>,
    /// `PROBE__*`: how instances are probed.
    pub probe: ProbeConfig,
    /// `MAX_INSTANCES`: of all services together; 503 above.
    pub max_instances: usize,
    /// `MAX_WATCHERS`: open watches; 503 above.
    pub max_watchers: usize,
    /// `HISTORY`: changes kept for watchers that resume or are slow.
    pub history: usize,
}

/// How instances are probed.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProbeConfig {
    /// Between probes of an instance that was ready once.
    #[serde(deserialize_with = "millis::deserialize")]
    pub interval_ms: Duration,
    /// Between probes of one that was not: how late a ready instance may get its first request.
    #[serde(deserialize_with = "millis::deserialize")]
    pub warming_ms: Duration,
    /// For connecting and the answer's status line together.
    #[serde(deserialize_with = "millis::deserialize")]
    pub timeout_ms: Duration,
}

impl Default for ProbeConfig {
    fn default() -> Self {
        Self {
            interval_ms: Duration::from_secs(2),
            warming_ms: Duration::from_millis(100),
            timeout_ms: Duration::from_secs(1),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        let private = [
            "127.0.0.0/8",
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "::1/128",
            "fc00::/7",
        ];
        Self {
            probe_cidrs: private
                .iter()
                .map(|cidr| cidr.parse().expect("these are networks"))
                .collect(),
            probe: ProbeConfig::default(),
            max_instances: 10_000,
            max_watchers: 1_000,
            history: 1_024,
        }
    }
}

impl Config {
    /// The part that the core needs.
    pub fn limits(&self) -> Limits {
        Limits {
            max_instances: self.max_instances,
            max_watchers: self.max_watchers,
            history: self.history,
            probe_every: self.probe.interval_ms,
            warming_every: self.probe.warming_ms,
            probe_timeout: self.probe.timeout_ms,
        }
    }
}

impl ServiceConfig for Config {
    fn validate(&self) -> Result<(), ConfigError> {
        let positive = [
            ("probe.interval_ms", !self.probe.interval_ms.is_zero()),
            ("probe.warming_ms", !self.probe.warming_ms.is_zero()),
            ("probe.timeout_ms", !self.probe.timeout_ms.is_zero()),
            ("max_instances", self.max_instances > 0),
            ("max_watchers", self.max_watchers > 0),
            ("history", self.history > 0),
            ("probe_cidrs", !self.probe_cidrs.is_empty()),
        ];
        match positive.iter().find(|(_, good)| !good) {
            Some((key, _)) => Err(ConfigError::new(key, "must not be zero or empty")),
            None => Ok(()),
        }
    }
}
