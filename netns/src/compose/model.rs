//! What a Compose file says, once read and checked: plain values, no YAML left.
//!
//! Everything here is sorted or keeps the file's order where order means something (ports, mounts, command words), so that
//! two files that differ in the order of their services are the same project.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use ipnet::Ipv4Net;
use serde::{Serialize, Serializer};

use super::diagnostic::{Diagnostic, Source, Span};
pub use super::given::*;
pub use super::service::*;

/// A whole stack, as `config --json` prints it.
#[derive(Clone, Debug, Serialize)]
pub struct Project {
    /// The name that keeps two stacks apart: `--project-name`, `COMPOSE_PROJECT_NAME`, else the folder's name.
    pub name: String,
    /// Folder of the first file, absolute: what relative paths in the file start from.
    pub dir: PathBuf,
    /// The services by name.
    pub services: BTreeMap<String, Service>,
    /// The services that are off, each with its profiles, none of which is on.
    #[serde(skip)]
    pub off: BTreeMap<String, Vec<String>>,
    /// The networks by name; each is a tier with a bridge of its own.
    pub networks: BTreeMap<String, Network>,
    /// Names of the declared volumes.
    pub volumes: BTreeSet<String>,
    /// The secrets that services are given, by name.
    pub secrets: BTreeMap<String, GivenFile>,
    /// The configuration files that services are given, by name.
    pub configs: BTreeMap<String, GivenFile>,
    /// Who may open a connection to whom.
    pub policy: Policy,
    /// The files as read, for diagnostics about them that come later (a host port that is taken).
    #[serde(skip)]
    pub sources: Vec<Source>,
    /// The variables as read, for whoever reads the same files again: those of the environment and of `.env`.
    #[serde(skip)]
    pub variables: BTreeMap<String, String>,
    /// What is worth a word before the lab comes up: a variable that is not set, a name that leads nowhere.
    #[serde(skip)]
    pub warnings: Vec<Diagnostic>,
}

/// The security policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// `x-flows` lists every permitted connection; all else is refused.
    Flows(Vec<Flow>),
    /// The file has no `x-flows`: Compose's own rule, services that share a network may reach each other on every port,
    /// and the world reaches the published ones.
    SharedNetworks,
}

/// One permitted connection, opened by any instance of `from` towards any instance of `to`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Flow {
    /// Who opens the connection.
    pub from: Peer,
    /// The service that is dialled.
    pub to: String,
    /// The port it listens on.
    pub port: u16,
    /// Its transport.
    pub protocol: Protocol,
    /// Where the file says so.
    #[serde(skip)]
    pub at: Span,
}

/// What stands for the outside in a flow, and the name of the namespace that published ports are dialled from.
pub const WORLD: &str = "world";
/// What routes between the networks of a lab.
pub const ROUTER: &str = "router";

/// One end of a flow, serialised as its name: no service may be called `world`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// Whatever comes through a published port, and what runs in the `world` namespace.
    World,
    /// A service of the file.
    Service(String),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::World => WORLD,
            Self::Service(name) => name,
        })
    }
}

impl Serialize for Peer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
}

/// A network of the file: one bridge, one IPv4 subnet.
#[derive(Clone, Debug, Serialize)]
pub struct Network {
    /// The addresses of the tier.
    pub subnet: Ipv4Net,
    /// The router's address in it.
    pub gateway: Ipv4Addr,
    /// What scales is numbered from here; fixed addresses stay outside.
    pub ip_range: Ipv4Net,
    /// Where the file declares it.
    #[serde(skip)]
    pub at: Span,
}
