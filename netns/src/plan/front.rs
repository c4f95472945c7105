//! What others see of the instances while some of them come or go: names, published ports, and the rules that lead there.
//!
//! An instance that has just come is shown to nobody until it is up; one that is to go is hidden before it is told to stop. So neither
//! costs anybody a connection.

use std::collections::BTreeMap;

use super::ruleset::ruleset;
use super::{Dial, Instance, Plan, PublishPath};

/// What others see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Front {
    /// The policy, with published ports translated to the instances that are shown.
    pub ruleset: String,
    /// The text of each instance's `/etc/hosts`, by its name.
    pub hosts: BTreeMap<String, String>,
    /// Where each published port is dialled on, in the plan's order.
    pub dials: Vec<Vec<Dial>>,
}

impl Plan {
    /// What others see when they are shown those instances of which `is_shown` says so. A service of which it says so of none is
    /// shown whole: there is nobody to be preferred.
    #[must_use]
    pub fn front(&self, is_shown: impl Fn(&Instance) -> bool) -> Front {
        let any = |service: &str| {
            self.instances
                .iter()
                .any(|one| one.service == service && !one.is_guest() && is_shown(one))
        };
        let shown: Vec<&Instance> = self
            .instances
            .iter()
            .filter(|instance| is_shown(instance) || !any(&instance.service))
            .collect();
        let is_name_shown = |name: &str| shown.iter().any(|instance| instance.name == name);
        let mut publish = self.publish.clone();
        for port in publish
            .iter_mut()
            .filter(|port| port.path == PublishPath::OwnNamespace)
        {
            port.dial.retain(|dial| is_name_shown(&dial.namespace));
        }
        let addresses: Vec<_> = shown
            .iter()
            .filter_map(|instance| Some(instance.link.as_ref()?.address.addr()))
            .collect();
        let hidden: Vec<_> = self
            .instances
            .iter()
            .filter(|instance| !is_name_shown(&instance.name))
            .filter_map(|instance| Some(instance.link.as_ref()?.address.addr()))
            .collect();
        let hosts = self.instances.iter().map(|instance| {
            let mut known = instance.clone();
            let own = known.hosts.first().cloned();
            known
                .hosts
                .retain(|entry| Some(entry) == own.as_ref() || !hidden.contains(&entry.address));
            (instance.name.clone(), known.etc_hosts())
        });
        Front {
            ruleset: ruleset(
                &self.tiers,
                self.uplink.as_ref(),
                &self.permits,
                &publish,
                |address| addresses.contains(&address),
            ),
            hosts: hosts.collect(),
            dials: publish.into_iter().map(|port| port.dial).collect(),
        }
    }
}
