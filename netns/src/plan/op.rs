//! One step of bringing the network up.

use std::fmt;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::Serialize;

use super::Mac;

/// Stands, in the steps of an [`Uplink`](super::Uplink), for the host's own network namespace; no namespace of a lab has this name.
pub const HOST: &str = "host";

/// One step. Each says in which namespace it acts; its `Display` is the equivalent `ip`, `sysctl` or `nft` command, to be read
/// (and, for a lesson, run) by a person, while the kernel side turns the same value into a netlink message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "op")]
pub enum Op {
    /// Creates a network namespace. Comes before every step that names it.
    AddNamespace {
        /// Its name.
        name: String,
    },
    /// Loads a ruleset, as one transaction. Comes before any link of an instance exists: nothing is ever connected without policy.
    Ruleset {
        /// Where it is loaded.
        namespace: String,
        /// The text for `nft -f -`.
        text: String,
    },
    /// Creates a bridge, down.
    AddBridge {
        /// Where it is.
        namespace: String,
        /// Its name.
        name: String,
        /// Its hardware address; stated, since a bridge otherwise takes the lowest of its ports and changes as they come and go.
        mac: Mac,
    },
    /// Creates a pair of interfaces, both down, each in its namespace: one message.
    AddVeth {
        /// Where the near end is.
        namespace: String,
        /// Name of the near end.
        name: String,
        /// Hardware address of the near end.
        mac: Mac,
        /// Bridge that the near end becomes a port of.
        bridge: Option<String>,
        /// Where the far end is.
        peer_namespace: String,
        /// Name of the far end.
        peer: String,
        /// Hardware address of the far end.
        peer_mac: Mac,
    },
    /// Makes a bridge port talk to the bridge itself only, never to its sibling ports, so that a packet to a neighbour in the tier
    /// is routed, and thereby held against the policy (`IFLA_BRPORT_ISOLATED`, Linux 4.18).
    IsolatePort {
        /// Where the port is.
        namespace: String,
        /// Its name.
        link: String,
    },
    /// Gives an interface an address.
    AddAddress {
        /// Where the interface is.
        namespace: String,
        /// Its name.
        link: String,
        /// Address and prefix length.
        address: Ipv4Net,
    },
    /// Brings an interface up.
    LinkUp {
        /// Where the interface is.
        namespace: String,
        /// Its name.
        link: String,
    },
    /// Adds a route; comes after the interface towards the gateway is up.
    AddRoute {
        /// Where it is.
        namespace: String,
        /// Destination; `0.0.0.0/0` is the default route.
        destination: Ipv4Net,
        /// Next hop.
        via: Ipv4Addr,
        /// Among routes of the same length the least wins; none stands for 0.
        metric: Option<u32>,
    },
    /// Removes an interface, and with it its other end.
    DeleteLink {
        /// Where the interface is.
        namespace: String,
        /// Its name.
        link: String,
    },
    /// Lets a network namespace go. The kernel frees it, and what is in it, once nothing is left there that holds it.
    DeleteNamespace {
        /// Its name.
        name: String,
    },
    /// Sets a kernel parameter.
    Sysctl {
        /// Where it is set.
        namespace: String,
        /// Path below `/proc/sys`, with slashes (interface names may hold dots): `net/ipv4/ip_forward`.
        key: String,
        /// Its value.
        value: String,
    },
}

impl Op {
    /// The namespace that the step acts in (for [`Op::AddNamespace`] and [`Op::DeleteNamespace`], the one that comes or goes).
    #[must_use]
    pub fn namespace(&self) -> &str {
        match self {
            Self::AddNamespace { name } | Self::DeleteNamespace { name } => name,
            Self::Ruleset { namespace, .. }
            | Self::AddBridge { namespace, .. }
            | Self::AddVeth { namespace, .. }
            | Self::IsolatePort { namespace, .. }
            | Self::AddAddress { namespace, .. }
            | Self::LinkUp { namespace, .. }
            | Self::DeleteLink { namespace, .. }
            | Self::AddRoute { namespace, .. }
            | Self::Sysctl { namespace, .. } => namespace,
        }
    }
}

impl Op {
    /// The equivalent command in one line, for messages: a ruleset goes unquoted.
    #[must_use]
    pub fn command(&self) -> String {
        match self {
            Self::Ruleset { namespace, .. } => format!("ip netns exec {namespace} nft -f -"),
            _ => self.to_string(),
        }
    }
}

/// `ip`, told in which namespace.
fn ip(namespace: &str) -> String {
    match namespace {
        HOST => "ip".to_owned(),
        name => format!("ip -n {name}"),
    }
}

/// What runs any other program in a namespace.
fn exec(namespace: &str) -> String {
    match namespace {
        HOST => String::new(),
        name => format!("ip netns exec {name} "),
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ip, exec) = (ip(self.namespace()), exec(self.namespace()));
        match self {
            Self::AddNamespace { name } => write!(f, "ip netns add {name}"),
            Self::Ruleset { text, .. } => {
                write!(f, "{exec}nft -f - <<'END'\n{}\nEND", text.trim_end())
            }
            Self::AddBridge { name, mac, .. } => {
                write!(f, "{ip} link add {name} address {mac} type bridge")
            }
            Self::AddVeth {
                name,
                mac,
                bridge,
                peer_namespace,
                peer,
                peer_mac,
                ..
            } => {
                write!(f, "{ip} link add {name} address {mac}")?;
                if let Some(bridge) = bridge {
                    write!(f, " master {bridge}")?;
                }
                write!(
                    f,
                    " type veth peer name {peer} address {peer_mac} netns {peer_namespace}"
                )
            }
            Self::IsolatePort { link, .. } => {
                write!(f, "{ip} link set {link} type bridge_slave isolated on")
            }
            Self::AddAddress { link, address, .. } => {
                write!(f, "{ip} addr add {address} dev {link}")
            }
            Self::DeleteLink { link, .. } => write!(f, "{ip} link del {link}"),
            Self::DeleteNamespace { name } => write!(f, "ip netns del {name}"),
            Self::LinkUp { link, .. } => write!(f, "{ip} link set {link} up"),
            Self::AddRoute {
                destination,
                via,
                metric,
                ..
            } => {
                match destination.prefix_len() {
                    0 => write!(f, "{ip} route add default via {via}")?,
                    _ => write!(f, "{ip} route add {destination} via {via}")?,
                }
                metric.map_or(Ok(()), |metric| write!(f, " metric {metric}"))
            }
            // sysctl takes slashes as separators too, and then leaves dots in names alone.
            Self::Sysctl { key, value, .. } => write!(f, "{exec}sysctl -w {key}={value}"),
        }
    }
}
