//! The uplink: what joins the host's own network to the router of a lab that root runs, so that instances answer on the host by
//! their own addresses.
//!
//! One veth pair and a route to each tier; never a firewall rule, a parameter but of that very interface, or a forwarded packet. To the policy the
//! host is the world. Which addresses it takes is decided here, purely, from what the host has already: nothing that exists is met.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::addresses::{LONGEST_LINK_NAME, tiers};
use super::op::HOST;
use super::policy::Permit;
use super::steps::{address, sysctl, up};
use super::{Mac, Op, ROUTER, Tier, WORLD_ADDRESS};
use crate::compose::{Project, Protocol};

/// The router's end of the pair.
pub const UPLINK: &str = "uplink";
/// The host's own routes to the same addresses win: this is more than any of theirs, and the least of equal ones is taken.
pub const METRIC: u32 = 9999;
/// Where the pair's two addresses come from, the first that the host does not use: for benchmarks (RFC 2544) and for
/// documentation (RFC 5737), so they are nobody's. The third such range, 203.0.113.0/24, is the world's.
const RANGES: [Ipv4Net; 3] = [
    Ipv4Net::new_assert(Ipv4Addr::new(198, 18, 0, 0), 15),
    Ipv4Net::new_assert(Ipv4Addr::new(198, 51, 100, 0), 24),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 0, 2, 0), 24),
];
/// Routes this short are the way to everywhere (a VPN halves the default route to come before it), and say nothing of any address.
const EVERYWHERE: u8 = 1;
/// Every name of the host's end begins so.
const PREFIX: &str = "ul-";

/// A pair of interfaces between the host and the router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Uplink {
    /// The host's end.
    pub link: String,
    /// The host's address, one of two (RFC 3021).
    pub host: Ipv4Net,
    /// The router's address, the other one.
    pub router: Ipv4Net,
    /// Subnets that the host reaches by it, sorted.
    pub reached: Vec<Ipv4Net>,
    /// The steps, to be taken by root in the host's namespace and the router's once the lab's own are taken.
    pub ops: Vec<Op>,
}

/// What the host has already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostNetwork {
    /// Names of its interfaces.
    pub links: BTreeSet<String>,
    /// Its addresses and the destinations of its routes, in every table.
    pub taken: Vec<Taken>,
}

impl HostNetwork {
    /// The same without one of its interfaces, and what leads there.
    #[must_use]
    pub fn without(mut self, link: &str) -> Self {
        self.links.remove(link);
        self.taken.retain(|taken| taken.by != link);
        self
    }
}

/// Addresses that something on the host has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Which.
    pub subnet: Ipv4Net,
    /// The interface, or what else has them.
    pub by: String,
}

/// A tier whose addresses lead elsewhere on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hidden {
    /// The network's name in the file.
    pub tier: String,
    /// Its addresses.
    pub subnet: Ipv4Net,
    /// What has them.
    pub by: Taken,
}

/// An address of an instance that the host may open a connection to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Direct {
    /// The service.
    pub service: String,
    /// The instance's own address.
    pub address: Ipv4Addr,
    /// The port.
    pub port: u16,
    /// Whether by UDP, not TCP.
    pub udp: bool,
}

/// The uplink of the lab called `lab` (what tells it from all others of this machine), beside what the host has; and what it cannot
/// reach because the host has those addresses. No uplink when it would reach nothing, or when every address is taken.
#[must_use]
pub fn uplink(project: &Project, lab: &str, host: &HostNetwork) -> (Option<Uplink>, Vec<Hidden>) {
    let tiers = tiers(project);
    let (mut reached, mut hidden) = (Vec::new(), Vec::new());
    for tier in &tiers {
        match host.taken_in(tier.subnet) {
            None => reached.push(tier.subnet),
            Some(by) => hidden.push(Hidden {
                tier: tier.name.clone(),
                subnet: tier.subnet,
                by: by.clone(),
            }),
        }
    }
    reached.sort_unstable();
    let seed = fnv(lab);
    let uplink = (!reached.is_empty())
        .then(|| {
            let link = name(&project.name, seed, &host.links)?;
            let (host, router) = pair(seed, &tiers, host)?;
            Some(Uplink {
                ops: steps(&link, host, router, &reached),
                link,
                host,
                router,
                reached,
            })
        })
        .flatten();
    (uplink, hidden)
}

/// The name that the host's end of a lab has when nobody else has it.
#[must_use]
pub fn link_name(project: &str, lab: &str) -> String {
    numbered(project, fnv(lab))
}

/// The host gets its routes last, when the way they point is open.
fn steps(link: &str, host: Ipv4Net, router: Ipv4Net, reached: &[Ipv4Net]) -> Vec<Op> {
    // A link between two hosts has no use for IPv6, which would chatter on it and add routes of its own.
    let no_ipv6 = |namespace: &str, link: &str| {
        sysctl(
            namespace,
            &format!("net/ipv6/conf/{link}/disable_ipv6"),
            "1",
        )
    };
    let mut ops = vec![
        Op::AddVeth {
            namespace: HOST.to_owned(),
            name: link.to_owned(),
            mac: Mac::of(host.addr()),
            bridge: None,
            peer_namespace: ROUTER.to_owned(),
            peer: UPLINK.to_owned(),
            peer_mac: Mac::of(router.addr()),
        },
        no_ipv6(ROUTER, UPLINK),
        address(ROUTER, UPLINK, router),
        up(ROUTER, UPLINK),
        no_ipv6(HOST, link),
        address(HOST, link, host),
        up(HOST, link),
    ];
    ops.extend(reached.iter().map(|subnet| Op::AddRoute {
        namespace: HOST.to_owned(),
        destination: *subnet,
        via: router.addr(),
        metric: Some(METRIC),
    }));
    ops
}

impl Uplink {
    /// What the host may connect to: what the policy opens to the world, where a route leads.
    pub(super) fn direct(&self, permits: &[Permit]) -> Vec<Direct> {
        let mut direct: Vec<Direct> = permits
            .iter()
            .filter(|permit| permit.from.is_none())
            .filter_map(|permit| permit.port.map(|port| (permit, port)))
            .flat_map(|(permit, (protocol, port))| {
                permit.destinations.iter().map(move |address| Direct {
                    service: permit.to.clone(),
                    address: *address,
                    port,
                    udp: protocol == Protocol::Udp,
                })
            })
            .filter(|direct| {
                let reached = |subnet: &Ipv4Net| subnet.contains(&direct.address);
                self.reached.iter().any(reached)
            })
            .collect();
        direct.sort_unstable();
        direct
    }
}

impl HostNetwork {
    /// What has any of these addresses.
    fn taken_in(&self, subnet: Ipv4Net) -> Option<&Taken> {
        self.taken
            .iter()
            .filter(|taken| taken.subnet.prefix_len() > EVERYWHERE)
            .find(|taken| meet(taken.subnet, subnet))
    }
}

/// Two subnets share an address exactly when one holds the other.
fn meet(one: Ipv4Net, other: Ipv4Net) -> bool {
    one.contains(&other) || other.contains(&one)
}

/// Two neighbouring addresses that nobody has. Each lab begins to look at a place of its own, so that two that come up at the same
/// moment, neither of which sees the other yet, do not meet.
fn pair(seed: u64, tiers: &[Tier], host: &HostNetwork) -> Option<(Ipv4Net, Ipv4Net)> {
    let in_lab = |subnet: Ipv4Net| {
        let mut own = tiers.iter().map(|tier| tier.subnet);
        own.any(|tier| meet(tier, subnet)) || meet(WORLD_ADDRESS, subnet)
    };
    RANGES.iter().find_map(|range| {
        if host
            .taken_in(*range)
            .is_some_and(|taken| taken.subnet.contains(range))
        {
            return None;
        }
        let pairs = 1_u32 << (31 - range.prefix_len());
        let start = u32::try_from(seed % u64::from(pairs)).unwrap_or(0);
        (0..pairs).find_map(|turn| {
            let first = range.network().to_bits() + (start + turn) % pairs * 2;
            let of = |bits: u32| Ipv4Net::new(Ipv4Addr::from_bits(bits), 31).ok();
            let subnet = of(first)?;
            let free = host.taken_in(subnet).is_none() && !in_lab(subnet);
            free.then_some((subnet, of(first + 1)?))
        })
    })
}

/// A name that no interface has.
fn name(project: &str, seed: u64, taken: &BTreeSet<String>) -> Option<String> {
    (0..=u64::from(u16::MAX))
        .map(|turn| numbered(project, seed.wrapping_add(turn)))
        .find(|name| !taken.contains(name))
}

/// As much of the project's name as fits, and four digits that tell labs of one name apart.
fn numbered(project: &str, seed: u64) -> String {
    let room = LONGEST_LINK_NAME - PREFIX.len() - "-0000".len();
    let kept: String = project.chars().take(room).collect();
    let kept = kept.trim_end_matches(['-', '_']);
    format!("{PREFIX}{kept}-{:04x}", seed & u64::from(u16::MAX))
}

/// FNV-1a (draft-eastlake-fnv): the same for the same lab, whatever built this program.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
#[path = "uplink_tests.rs"]
mod tests;
