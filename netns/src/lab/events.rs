//! What happens in a lab, as `events` tells it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Something that happened to an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in milliseconds since 1970-01-01 00:00 UTC.
    pub at_unix_ms: u64,
    /// The instance.
    pub instance: String,
    /// Its service.
    pub service: String,
    /// What: `start`, `die`, `health_status: healthy`, `kill`, `stop`, `oom`, `start_failed`, as Docker calls it where it does.
    pub action: String,
    /// More about it, such as `exitCode`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}
