//! What goes over the wire between the registry and its clients.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The lease of an instance that asks for none.
pub const DEFAULT_TTL: Ttl = Ttl(10_000);

/// A name that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a name: 1 to 63 of a-z, 0-9 and -, not beginning or ending with -")]
pub struct NameError(String);

macro_rules! label {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                if is_label(text) { Ok(Self(text.into())) } else { Err(NameError(text.chars().take(80).collect())) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

label! {
    /// A service's name: one DNS label, in lower case (RFC 1123, section 2.1).
    ServiceName
}

label! {
    /// An instance's name among those of its service: one DNS label, in lower case.
    InstanceId
}

fn is_label(text: &str) -> bool {
    matches!(text.len(), 1..=63)
        && text
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !text.starts_with('-')
        && !text.ends_with('-')
}

impl InstanceId {
    /// An id from any host name: its first label, in lower case, with what does not belong replaced.
    pub fn from_hostname(hostname: &str) -> Self {
        let label = hostname
            .split('.')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        let clean: String = label
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .take(63)
            .collect();
        clean
            .trim_matches('-')
            .parse()
            .unwrap_or_else(|_| Self("instance".into()))
    }
}

/// A lease's length in milliseconds, 1 000 to 60 000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u64")]
pub struct Ttl(u64);

impl Ttl {
    /// As a duration.
    pub fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl TryFrom<u64> for Ttl {
    type Error = String;

    fn try_from(millis: u64) -> Result<Self, String> {
        match millis {
            1_000..=60_000 => Ok(Self(millis)),
            _ => Err(format!(
                "{millis} is not a lease: 1000 to 60000 milliseconds"
            )),
        }
    }
}

impl Default for Ttl {
    fn default() -> Self {
        DEFAULT_TTL
    }
}

/// One instance of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its service.
    pub service: ServiceName,
    /// Its name there.
    pub id: InstanceId,
    /// Where it answers.
    pub address: IpAddr,
    /// On which port.
    pub port: u16,
    /// Its start, in ms since 1970: the newer process of the same id wins.
    pub generation: u64,
    /// Anything a client wants to tell (`version`, `zone`); bounded by the registry.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// Its lease.
    #[serde(rename = "ttl_ms", default)]
    pub ttl: Ttl,
}

impl Instance {
    /// Address and port.
    pub fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

/// The body of `PUT /v1/services/{service}/instances/{id}`. Fields that it does not know are ignored: versions mix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutInstance {
    /// If given, must be the path's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    /// If given, must be the path's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<InstanceId>,
    /// Where it answers.
    pub address: IpAddr,
    /// On which port, not 0.
    pub port: u16,
    /// Its start, in ms since 1970.
    pub generation: u64,
    /// Anything a client wants to tell.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// Its lease.
    #[serde(rename = "ttl_ms", default)]
    pub ttl: Ttl,
}

/// The answer to a write about an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The instance's state after it.
    pub state: Option<State>,
    /// The registry's revision after it.
    pub revision: u64,
}

/// Whether an instance may be given work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Registered, `/ready` has not answered yet.
    Warming,
    /// Yes.
    Passing,
    /// Its `/health` failed twice.
    Critical,
    /// It asked for no new work.
    Draining,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Warming, Self::Passing, Self::Critical, Self::Draining];

    /// As on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warming => "warming",
            Self::Passing => "passing",
            Self::Critical => "critical",
            Self::Draining => "draining",
        }
    }
}

/// An instance and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The instance.
    #[serde(flatten)]
    pub instance: Instance,
    /// Its state.
    pub state: State,
}

/// `GET /v1/services/{service}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListBody {
    /// Counts every change that the registry makes; comparable only within one `epoch`.
    pub revision: u64,
    /// One life of a registry process.
    pub epoch: String,
    /// The instances, by id.
    pub instances: Vec<Status>,
}

/// The event `snapshot`: everything about the requested services.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotBody {
    /// The state of the world that this is.
    pub revision: u64,
    /// Every instance of the requested services.
    pub instances: Vec<Status>,
}

/// The event `change`: one instance is now like this, or gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The revision that made it.
    pub revision: u64,
    /// Its service.
    pub service: ServiceName,
    /// Its id.
    pub id: InstanceId,
    /// What it is now; absent when it is gone.
    #[serde(default)]
    pub instance: Option<Status>,
}
