//! The registry as its clients see it: the types on the wire, [`Registration`] (being found) and [`Watch`] (finding).
//!
//! Registry replicas do not talk to each other: an instance registers with every address of every `SERVICE_REGISTRY` URL,
//! a watcher follows all of them and merges what they say.

mod address;
mod client;
mod merge;
mod registrar;
mod registration;
mod resolve;
mod sse;
mod types;
mod watch;

pub use self::address::AddressError;
pub use self::registration::Registration;
pub use self::types::{
    Accepted, Change, DEFAULT_TTL, Instance, InstanceId, ListBody, NameError, PutInstance,
    ServiceName, SnapshotBody, State, Status, Ttl,
};
pub use self::watch::{Endpoint, Endpoints, Watch};
