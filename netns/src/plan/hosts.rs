//! Which names an instance knows: its own and those of whom it may reach. A name that does not resolve says "no flow" sooner than
//! a connection that is refused.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::policy::Permit;
use super::{HostEntry, Instance};
use crate::compose::{Attachment, Project, Service};

/// Fills in the names of every instance.
pub(super) fn fill(project: &Project, instances: &mut [Instance], permits: &[Permit]) {
    let known: Vec<Vec<HostEntry>> = instances
        .iter()
        .map(|instance| entries(project, instance, instances, permits))
        .collect();
    for (instance, hosts) in instances.iter_mut().zip(known) {
        instance.hosts = hosts;
    }
}

fn entries(
    project: &Project,
    instance: &Instance,
    instances: &[Instance],
    permits: &[Permit],
) -> Vec<HostEntry> {
    let reachable: BTreeSet<&str> = permits
        .iter()
        .filter(|permit| permit.from.as_deref() == Some(&instance.service))
        .map(|permit| permit.to.as_str())
        .collect();
    let service = project.services.get(&instance.service);
    let mut own = vec![instance.name.clone()];
    if !instance.is_guest() {
        own = names(instance);
        own.extend(aliases(project, &instance.service, service));
    }
    if instance.hostname != instance.name {
        own.push(instance.hostname.clone());
    }
    let address = instance
        .link
        .as_ref()
        .map_or(Ipv4Addr::LOCALHOST, |link| link.address.addr());
    let mut entries = vec![HostEntry {
        address,
        names: once(own),
    }];
    for other in instances {
        if let Some(link) = &other.link
            && other.name != instance.name
            && !other.is_guest()
            && reachable.contains(other.service.as_str())
        {
            let mut known = names(other);
            known.extend(aliases(project, &other.service, service));
            let links = service.into_iter().flat_map(|service| &service.links);
            let links = links.filter(|(_, to)| **to == other.service);
            known.extend(links.map(|(name, _)| name.clone()));
            entries.push(HostEntry {
                address: link.address.addr(),
                names: once(known),
            });
        }
    }
    for (name, address) in service.into_iter().flat_map(|service| &service.extra_hosts) {
        entries.push(HostEntry {
            address: *address,
            names: vec![name.clone()],
        });
    }
    entries
}

fn names(instance: &Instance) -> Vec<String> {
    vec![instance.service.clone(), instance.name.clone()]
}

/// The other names of `service` that `asking` knows: those of the networks that both are members of.
fn aliases(project: &Project, service: &str, asking: Option<&Service>) -> Vec<String> {
    let networks = |service: &Service| match &service.attachment {
        Attachment::Tier { networks, .. } => networks.clone(),
        Attachment::None => BTreeSet::new(),
    };
    let asking = asking.map(networks).unwrap_or_default();
    let aliases = project
        .services
        .get(service)
        .map(|service| &service.aliases);
    aliases
        .into_iter()
        .flatten()
        .filter(|alias| {
            let network = alias.network.as_ref();
            network.is_none_or(|network| asking.contains(network))
        })
        .map(|alias| alias.name.clone())
        .collect()
}

/// Each name once, where it stands first.
fn once(names: Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    names
        .into_iter()
        .filter(|name| seen.insert(name.clone()))
        .collect()
}
