//! Which instance has which address, and the names and hardware addresses that follow from it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::numbering::Numbering;
use super::{Guest, Instance, Link, Mac, Plan, PlanError, Scale, Tier};
use crate::compose::{Attachment, Project, Service};

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

/// What is there already, by name.
#[derive(Debug, Default)]
pub(super) struct Standing<'p> {
    tiers: BTreeMap<&'p str, &'p Tier>,
    links: BTreeMap<&'p str, &'p Link>,
}

impl<'p> Standing<'p> {
    pub(super) fn of(plan: &'p Plan) -> Self {
        let links = plan
            .instances
            .iter()
            .filter_map(|instance| Some((instance.name.as_str(), instance.link.as_ref()?)));
        Self {
            tiers: plan
                .tiers
                .iter()
                .map(|tier| (tier.name.as_str(), tier))
                .collect(),
            links: links.collect(),
        }
    }

    /// The address that the instance has in the network.
    pub(super) fn address(&self, instance: &str, network: &str) -> Option<Ipv4Addr> {
        let link = self.links.get(instance)?;
        (link.tier == network).then(|| link.address.addr())
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

/// The bridges, those that stand as they are.
pub(super) fn standing_tiers(
    project: &Project,
    standing: &Standing<'_>,
) -> Result<Vec<Tier>, PlanError> {
    let mut tiers = tiers(project);
    for tier in &mut tiers {
        let Some(stands) = standing.tiers.get(tier.name.as_str()) else {
            continue;
        };
        if (stands.subnet, stands.gateway) != (tier.subnet, tier.gateway) {
            return Err(PlanError::TierChanged {
                network: tier.name.clone(),
                before: stands.subnet,
                after: tier.subnet,
            });
        }
        tier.clone_from(stands);
    }
    Ok(tiers)
}

/// The instances, sorted by service and index, without the names they know; one-off instances come first of their service.
pub(super) fn instances(
    project: &Project,
    scale: &Scale,
    guests: &[Guest],
    tiers: &[Tier],
    standing: &Standing<'_>,
) -> Result<Vec<Instance>, PlanError> {
    let counts = counts(project, scale)?;
    let mut addresses = BTreeMap::new();
    for (name, network) in &project.networks {
        let numbering = Numbering {
            project,
            counts: &counts,
            guests,
            standing,
            name,
            network,
        };
        numbering.number(&mut addresses)?;
    }
    let names: BTreeSet<&str> = project.services.keys().map(String::as_str).collect();
    let mut instances = Vec::new();
    for service in project.services.values() {
        let own = guests.iter().filter(|guest| guest.service == service.name);
        let regular = (1..=counts[service.name.as_str()])
            .map(|index| (instance_name(&service.name, index), index));
        for (name, index) in own.map(|guest| (guest.name.clone(), 0)).chain(regular) {
            let link = tier_of(service).and_then(|tier| {
                let tier = tiers.iter().find(|other| other.name == tier)?;
                let address = *addresses.get(&name)?;
                if standing.address(&name, &tier.name) == Some(address) {
                    return standing.links.get(name.as_str()).copied().cloned();
                }
                let suffix = format!("-{index}");
                Some(Link {
                    tier: tier.name.clone(),
                    bridge: tier.bridge.clone(),
                    address: Ipv4Net::new(address, tier.subnet.prefix_len()).ok()?,
                    gateway: tier.gateway,
                    mac: Mac::of(address),
                    port: match index {
                        0 => format!("v-{:08x}", address.to_bits()),
                        _ => short(&service.name, "v-", &suffix, &names, address),
                    },
                    port_mac: Mac::of_port(address),
                })
            });
            let hostname = match &service.hostname {
                Some(hostname) if index > 0 => hostname.clone(),
                _ => name.clone(),
            };
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
pub(super) fn instance_name(service: &str, index: u32) -> String {
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

pub(super) fn tier_of(service: &Service) -> Option<&str> {
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
