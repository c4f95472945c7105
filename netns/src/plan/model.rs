//! The plan's types: what will exist, and the steps that make it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

use ipnet::Ipv4Net;
use serde::{Serialize, Serializer};

use super::policy::Permit;
use super::{Direct, Op, Uplink};
use crate::compose::Span;

pub use crate::compose::{ROUTER, WORLD};

/// Instances per service where they differ from the file: `--scale service=n`.
pub type Scale = BTreeMap<String, u32>;

/// The world's network, from TEST-NET-3 (RFC 5737): never routed, so it hides nothing real.
pub const WORLD_ADDRESS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(203, 0, 113, 2), 24);
/// The router's address in the world's network: where published ports answer.
pub const ROUTER_ADDRESS: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(203, 0, 113, 1), 24);

/// Everything that will be built, decided before anything is touched.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// Name of the project.
    pub project: String,
    /// One bridge a network, sorted by name.
    pub tiers: Vec<Tier>,
    /// Every instance, sorted by service and index.
    pub instances: Vec<Instance>,
    /// The steps, in the order in which they are taken.
    pub ops: Vec<Op>,
    /// The published ports, in the file's order.
    pub publish: Vec<Publish>,
    /// Names of the services such that each stands behind what it depends on; stop in reverse.
    pub start_order: Vec<String>,
    /// The policy as nftables text, the same as in the ops: one transaction that replaces the table.
    pub ruleset: String,
    /// How the host reaches the instances by their own addresses; none unless root asks for it.
    pub uplink: Option<Uplink>,
    /// What the host may connect to by it, sorted.
    pub direct: Vec<Direct>,
    /// The policy that the ruleset was made of.
    #[serde(skip)]
    pub(super) permits: Vec<Permit>,
}

/// A one-off instance: of a service, in its network and under its policy, but nobody is led to it by the service's name or ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Its own name.
    pub name: String,
    /// The service.
    pub service: String,
}

/// A network and its bridge in the router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tier {
    /// The network's name in the file.
    pub name: String,
    /// The bridge's name, at most 15 characters.
    pub bridge: String,
    /// The addresses.
    pub subnet: Ipv4Net,
    /// The router's address.
    pub gateway: Ipv4Addr,
    /// The bridge's hardware address.
    pub mac: Mac,
}

/// One instance of a service: a network namespace and a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Instance {
    /// `<service>-<index>`, also the name of its namespace.
    pub name: String,
    /// Its service.
    pub service: String,
    /// From 1; 0 for a one-off instance, which has a name of its own.
    pub index: u32,
    /// Host name inside.
    pub hostname: String,
    /// Its interface; none under `network_mode: none`.
    pub link: Option<Link>,
    /// Settings of its network namespace, by their names in the file.
    pub sysctls: BTreeMap<String, String>,
    /// Names it knows, itself first: what its `/etc/hosts` lists (see [`Instance::etc_hosts`]).
    pub hosts: Vec<HostEntry>,
}

impl Instance {
    /// Whether it is a one-off instance: a [`Guest`].
    #[must_use]
    pub fn is_guest(&self) -> bool {
        self.index == 0
    }
}

/// The one interface of an instance (`eth0` inside) and its other end, a port of the tier's bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Link {
    /// The network it is in.
    pub tier: String,
    /// The bridge that its other end is a port of.
    pub bridge: String,
    /// Address with the subnet's prefix length.
    pub address: Ipv4Net,
    /// Default route.
    pub gateway: Ipv4Addr,
    /// Hardware address of `eth0`.
    pub mac: Mac,
    /// Name of the other end, in the router, at most 15 characters.
    pub port: String,
    /// Hardware address of the other end.
    pub port_mac: Mac,
}

/// One line of `/etc/hosts`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct HostEntry {
    /// The address.
    pub address: Ipv4Addr,
    /// Its names: the service's and the instance's.
    pub names: Vec<String>,
}

/// A published port: where the host listens, and where an accepted connection is dialled on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Publish {
    /// Host address; none means every address of both families.
    pub host_ip: Option<IpAddr>,
    /// Host port.
    pub host_port: u16,
    /// The service that answers.
    pub service: String,
    /// The port it answers on.
    pub target_port: u16,
    /// Which way connections take.
    pub path: PublishPath,
    /// Where to dial, in turn.
    pub dial: Vec<Dial>,
    /// Where the file publishes it.
    #[serde(skip)]
    pub at: Span,
}

/// An address and port of the host; no address stands for all of both families.
pub type On = (Option<IpAddr>, u16);

impl Publish {
    /// Where the host listens.
    #[must_use]
    pub fn on(&self) -> On {
        (self.host_ip, self.host_port)
    }
}

/// Which way a published port takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PublishPath {
    /// From the world to the router, translated there and held against the policy: what a `world ->` flow opens.
    World,
    /// From inside the instance's own namespace: a port of the host's loopback that no flow opens (an admin port).
    OwnNamespace,
}

/// A namespace to dial from, and the address to dial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dial {
    /// Name of the namespace.
    pub namespace: String,
    /// Address as seen from there.
    pub address: SocketAddrV4,
}

/// A hardware address. Prints as `02:42:ac:14:00:0a`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl Serialize for Mac {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
