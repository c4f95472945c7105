//! Which instance has which address, and the names and hardware addresses that follow from it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::{Ipv4AddrRange, Ipv4Net};

use super::{Instance, Link, Mac, PlanError, Scale, Tier};
use crate::compose::{Attachment, Network, Project, Service};

/// The longest name of an interface: `IFNAMSIZ` of `<net/if.h>` without the closing zero.
pub(super) const LONGEST_LINK_NAME: usize = 15;

/// Most instances of a lab. A bridge has at most 1024 ports (`BR_MAX_PORTS`).
const MOST_INSTANCES: u32 = 1000;

impl Mac {
    /// Locally administered (IEEE 802, bit 1 of the first octet), made of the address: unique where addresses are, the same at
    /// every start, and readable in a capture.
    pub(super) fn of(address: Ipv4Addr) -> Self {
        let [a, b, c, d] = address.octets();
        Self([0x02, 0x42, a, b, c, d])
    }

    /// The same for the other end of the pair.
    pub(super) fn of_port(address: Ipv4Addr) -> Self {
        let [a, b, c, d] = address.octets();
        Self([0x02, 0x43, a, b, c, d])
    }
}

/// The bridges, sorted by network.
pub(super) fn tiers(project: &Project) -> Vec<Tier> {
    let names: BTreeSet<&str> = project.networks.keys().map(String::as_str).collect();
    project
        .networks
        .iter()
        .map(|(name, network)| Tier {
            name: name.clone(),
            bridge: short(name, "br-", "", &names, network.gateway),
            subnet: network.subnet,
            gateway: network.gateway,
            mac: Mac::of(network.gateway),
        })
        .collect()
}

/// The instances, sorted by service and index, without the names they know.
pub(super) fn instances(
    project: &Project,
    scale: &Scale,
    tiers: &[Tier],
) -> Result<Vec<Instance>, PlanError> {
    let counts = counts(project, scale)?;
    let mut addresses = BTreeMap::new();
    for (name, network) in &project.networks {
        number(project, &counts, name, network, &mut addresses)?;
    }
    let names: BTreeSet<&str> = project.services.keys().map(String::as_str).collect();
    let mut instances = Vec::new();
    for service in project.services.values() {
        for index in 1..=counts[service.name.as_str()] {
            let name = instance_name(&service.name, index);
            let link = tier_of(service).and_then(|tier| {
                let tier = tiers.iter().find(|other| other.name == tier)?;
                let address = *addresses.get(&(service.name.as_str(), index))?;
                Some(Link {
                    tier: tier.name.clone(),
                    bridge: tier.bridge.clone(),
                    address: Ipv4Net::new(address, tier.subnet.prefix_len()).ok()?,
                    gateway: tier.gateway,
                    mac: Mac::of(address),
                    port: short(&service.name, "v-", &format!("-{index}"), &names, address),
                    port_mac: Mac::of_port(address),
                })
            });
            let hostname = service.hostname.clone().unwrap_or_else(|| name.clone());
            instances.push(Instance {
                name,
                service: service.name.clone(),
                index,
                hostname,
                link,
                sysctls: service.sysctls.clone(),
                hosts: Vec::new(),
            });
        }
    }
    Ok(instances)
}

/// `<service>-<index>`, also for a single instance: a second one must not rename the first.
fn instance_name(service: &str, index: u32) -> String {
    format!("{service}-{index}")
}

fn counts<'p>(project: &'p Project, scale: &Scale) -> Result<BTreeMap<&'p str, u32>, PlanError> {
    if let Some(unknown) = scale
        .keys()
        .find(|name| !project.services.contains_key(*name))
    {
        return Err(PlanError::UnknownService(unknown.clone()));
    }
    let mut counts = BTreeMap::new();
    for (name, service) in &project.services {
        let count = scale.get(name).copied().unwrap_or(service.replicas);
        if let Attachment::Tier {
            address: Some(address),
            ..
        } = service.attachment
            && count > 1
        {
            return Err(PlanError::FixedAddress {
                service: name.clone(),
                address,
                count,
            });
        }
        counts.insert(name.as_str(), count);
    }
    let count = counts.values().copied().map(u64::from).sum();
    if count > u64::from(MOST_INSTANCES) {
        return Err(PlanError::TooMany {
            count,
            most: MOST_INSTANCES,
        });
    }
    Ok(counts)
}

/// Numbers the instances in one network. Fixed addresses stand as they are. The others take turns, the first instance of each
/// service, then the second of each, and so on, so that scaling one service never moves an instance of another; only when a
/// service outgrows its turns does it take what is left over.
fn number<'p>(
    project: &'p Project,
    counts: &BTreeMap<&'p str, u32>,
    name: &str,
    network: &Network,
    addresses: &mut BTreeMap<(&'p str, u32), Ipv4Addr>,
) -> Result<(), PlanError> {
    let mut taken = BTreeSet::from([
        network.subnet.network(),
        network.subnet.broadcast(),
        network.gateway,
    ]);
    let mut dynamic = Vec::new();
    for service in project.services.values() {
        match service.attachment {
            Attachment::Tier {
                ref tier,
                address: Some(address),
                ..
            } if tier == name => {
                taken.insert(address);
                if counts[service.name.as_str()] > 0 {
                    addresses.insert((&service.name, 1), address);
                }
            }
            Attachment::Tier {
                ref tier,
                address: None,
                ..
            } if tier == name => dynamic.push(service.name.as_str()),
            _ => {}
        }
    }
    let turns = dynamic
        .iter()
        .map(|service| counts[service])
        .max()
        .unwrap_or(0) as usize;
    let mut free: Vec<Option<Ipv4Addr>> =
        Ipv4AddrRange::new(network.ip_range.network(), network.ip_range.broadcast())
            .filter(|address| !taken.contains(address))
            .take(turns * dynamic.len())
            .map(Some)
            .collect();
    let mut late = Vec::new();
    for (position, service) in dynamic.iter().enumerate() {
        for index in 1..=counts[service] {
            match free
                .get_mut((index as usize - 1) * dynamic.len() + position)
                .and_then(Option::take)
            {
                Some(address) => drop(addresses.insert((service, index), address)),
                None => late.push((*service, index)),
            }
        }
    }
    let mut left = free.into_iter().flatten();
    for (service, index) in late {
        let address = left.next().ok_or_else(|| PlanError::Exhausted {
            network: name.to_owned(),
            instance: instance_name(service, index),
            range: network.ip_range,
        })?;
        addresses.insert((service, index), address);
    }
    Ok(())
}

fn tier_of(service: &Service) -> Option<&str> {
    match &service.attachment {
        Attachment::None => None,
        Attachment::Tier { tier, .. } => Some(tier),
    }
}

/// A name for an interface that fits the kernel: `prefix` and `suffix` whole, as much of `name` between them as there is room for.
/// When that would not tell `name` from another of `names`, its address in hexadecimal takes its place.
fn short(
    name: &str,
    prefix: &str,
    suffix: &str,
    names: &BTreeSet<&str>,
    address: Ipv4Addr,
) -> String {
    let room = LONGEST_LINK_NAME.saturating_sub(prefix.len() + suffix.len());
    // Names are ASCII: the reader sees to it.
    let cut = |name: &str| name.chars().take(room).collect::<String>();
    let kept = cut(name);
    if names
        .iter()
        .any(|other| *other != name && cut(other) == kept)
    {
        return format!("{prefix}{:08x}", address.to_bits());
    }
    format!("{prefix}{kept}{suffix}")
}
