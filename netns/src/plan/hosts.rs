//! Which names an instance knows: its own and those of whom it may reach. A name that does not resolve says "no flow" sooner than
//! a connection that is refused.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::policy::Permit;
use super::{HostEntry, Instance};

/// Fills in the names of every instance.
pub(super) fn fill(instances: &mut [Instance], permits: &[Permit]) {
    let known: Vec<Vec<HostEntry>> = instances
        .iter()
        .map(|instance| entries(instance, instances, permits))
        .collect();
    for (instance, hosts) in instances.iter_mut().zip(known) {
        instance.hosts = hosts;
    }
}

fn entries(instance: &Instance, instances: &[Instance], permits: &[Permit]) -> Vec<HostEntry> {
    let reachable: BTreeSet<&str> = permits
        .iter()
        .filter(|permit| permit.from.as_deref() == Some(&instance.service))
        .map(|permit| permit.to.as_str())
        .collect();
    let mut own = names(instance);
    if instance.hostname != instance.name {
        own.push(instance.hostname.clone());
    }
    let address = instance
        .link
        .as_ref()
        .map_or(Ipv4Addr::LOCALHOST, |link| link.address.addr());
    let mut entries = vec![HostEntry {
        address,
        names: own,
    }];
    for other in instances {
        if let Some(link) = &other.link
            && other.name != instance.name
            && reachable.contains(other.service.as_str())
        {
            entries.push(HostEntry {
                address: link.address.addr(),
                names: names(other),
            });
        }
    }
    entries
}

fn names(instance: &Instance) -> Vec<String> {
    vec![instance.service.clone(), instance.name.clone()]
}
