//! Which instance of a network has which of its addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4AddrRange;

use super::addresses::{Standing, instance_name, tier_of};
use super::{Guest, PlanError};
use crate::compose::{Attachment, Network, Project};

/// The instances of one network, to be numbered.
pub(super) struct Numbering<'a, 'p> {
    pub(super) project: &'p Project,
    pub(super) counts: &'a BTreeMap<&'p str, u32>,
    pub(super) guests: &'a [Guest],
    pub(super) standing: &'a Standing<'a>,
    pub(super) name: &'p str,
    pub(super) network: &'p Network,
}

impl Numbering<'_, '_> {
    /// Fixed addresses stand as they are, and so does what is there already. The others take turns, the first instance of each
    /// service, then the second of each, and so on, so that scaling one service never moves an instance of another; only when a
    /// service outgrows its turns does it take what is left over. One-off instances take from the other end.
    pub(super) fn number(
        &self,
        addresses: &mut BTreeMap<String, Ipv4Addr>,
    ) -> Result<(), PlanError> {
        let network = self.network;
        let mut taken = BTreeSet::from([
            network.subnet.network(),
            network.subnet.broadcast(),
            network.gateway,
        ]);
        let dynamic = self.fixed(&mut taken, addresses);
        let guests: Vec<&str> = self
            .guests
            .iter()
            .filter(|guest| {
                let service = self.project.services.get(&guest.service);
                service.and_then(tier_of) == Some(self.name)
            })
            .map(|guest| guest.name.as_str())
            .collect();
        let standing = self.those_that_stay(&dynamic, &guests, &taken);
        let turns = dynamic
            .iter()
            .map(|service| self.counts[service])
            .max()
            .unwrap_or(0) as usize;
        let in_range = || {
            Ipv4AddrRange::new(network.ip_range.network(), network.ip_range.broadcast())
                .filter(|address| !taken.contains(address))
        };
        let kept: BTreeSet<Ipv4Addr> = standing.values().copied().collect();
        let mut free: Vec<Option<Ipv4Addr>> = in_range()
            .take(turns * dynamic.len() + kept.len())
            .map(|address| (!kept.contains(&address)).then_some(address))
            .collect();
        let mut late = Vec::new();
        for (position, service) in dynamic.iter().enumerate() {
            for index in 1..=self.counts[service] {
                let instance = instance_name(service, index);
                if standing.contains_key(&instance) {
                    continue;
                }
                match free
                    .get_mut((index as usize - 1) * dynamic.len() + position)
                    .and_then(Option::take)
                {
                    Some(address) => drop(addresses.insert(instance, address)),
                    None => late.push(instance),
                }
            }
        }
        addresses.extend(standing);
        let exhausted = |instance: &str| PlanError::Exhausted {
            network: self.name.to_owned(),
            instance: instance.to_owned(),
            range: network.ip_range,
        };
        let mut left = free.into_iter().flatten();
        for instance in late {
            let address = left.next().ok_or_else(|| exhausted(&instance))?;
            addresses.insert(instance, address);
        }
        for guest in guests {
            if addresses.contains_key(guest) {
                continue;
            }
            let used: BTreeSet<Ipv4Addr> = addresses.values().copied().collect();
            let last = in_range().rfind(|address| !used.contains(address));
            addresses.insert(guest.to_owned(), last.ok_or_else(|| exhausted(guest))?);
        }
        Ok(())
    }

    /// Takes the fixed addresses; the services whose instances are to be numbered.
    fn fixed(
        &self,
        taken: &mut BTreeSet<Ipv4Addr>,
        addresses: &mut BTreeMap<String, Ipv4Addr>,
    ) -> Vec<&str> {
        let mut dynamic = Vec::new();
        for service in self.project.services.values() {
            match service.attachment {
                Attachment::Tier {
                    ref tier,
                    address: Some(address),
                    ..
                } if tier == self.name => {
                    taken.insert(address);
                    if self.counts[service.name.as_str()] > 0 {
                        addresses.insert(instance_name(&service.name, 1), address);
                    }
                }
                Attachment::Tier {
                    ref tier,
                    address: None,
                    ..
                } if tier == self.name => dynamic.push(service.name.as_str()),
                _ => {}
            }
        }
        dynamic
    }

    /// Those that have an address here already and may keep it.
    fn those_that_stay(
        &self,
        dynamic: &[&str],
        guests: &[&str],
        taken: &BTreeSet<Ipv4Addr>,
    ) -> BTreeMap<String, Ipv4Addr> {
        let regular = dynamic.iter().flat_map(|service| {
            (1..=self.counts[service]).map(|index| instance_name(service, index))
        });
        regular
            .chain(guests.iter().map(|guest| (*guest).to_owned()))
            .filter_map(|name| {
                let address = self.standing.address(&name, self.name)?;
                let may = self.network.subnet.contains(&address) && !taken.contains(&address);
                may.then_some((name, address))
            })
            .collect()
    }
}
