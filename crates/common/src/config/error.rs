//! What is wrong with a configuration, in the environment's spelling.

use super::layers::ALIASES;

/// A configuration that cannot be used; the process exits with 64 (`EX_USAGE`, sysexits.h) before any port is bound.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct ConfigError {
    /// The key as the environment spells it, `HTTP__LISTEN`.
    pub key: String,
    /// What is wrong with it; never a secret's value.
    pub message: String,
}

impl ConfigError {
    /// An error about the key at a dotted path (`"cache.ttl_ms"`).
    pub fn new(path: &str, message: impl Into<String>) -> Self {
        Self {
            key: spelling(path),
            message: message.into(),
        }
    }
}

/// `http.listen` -> `HTTP__LISTEN`, or the flat name of an alias.
pub(super) fn spelling(path: &str) -> String {
    let stem = path.strip_suffix("_file").unwrap_or(path);
    let suffix = if stem.len() == path.len() {
        ""
    } else {
        "_FILE"
    };
    match ALIASES.iter().find(|(_, target)| *target == stem) {
        Some((name, _)) => format!("{name}{suffix}"),
        None => path.replace('.', "__").to_uppercase(),
    }
}
