//! What others see of the instances: it is moved away from those that go before they do, and to those that come once they are up.

use std::collections::BTreeSet;
use std::net::TcpListener;

use super::change::Work;
use super::disk::unwritten;
use super::files;
use super::keeper::Keeper;
use crate::kernel::relay::Relay;
use crate::lab::supervise::State;
use crate::plan::{Front, On, Op, Plan, ROUTER};

impl Keeper {
    pub(super) fn front_of(&self, plan: &Plan) -> Front {
        plan.front(|instance| self.changes.shows(&instance.name))
    }

    /// Shows others those that have come and are up.
    pub(super) fn show_what_is_up(&mut self) {
        let up: BTreeSet<String> = self
            .supervisor
            .slots()
            .filter(|(_, slot)| slot.is_as_wanted() && matches!(slot.state, State::Running { .. }))
            .filter(|(_, slot)| self.changes.hidden.contains(&slot.unit.name))
            .map(|(_, slot)| slot.unit.name.clone())
            .collect();
        if !up.is_empty() {
            let hidden = &self.changes.hidden;
            let front = self
                .lab
                .plan
                .front(|instance| !hidden.contains(&instance.name) || up.contains(&instance.name));
            self.show(front, up);
        }
    }

    pub(super) fn show(&mut self, front: Front, shown: BTreeSet<String>) {
        let rules = Op::Ruleset {
            namespace: ROUTER.to_owned(),
            text: front.ruleset.clone(),
        };
        let is_other = front.ruleset != self.changes.front.ruleset;
        let (network, state, hosts) = (
            self.starter.network.clone(),
            self.lab.state.clone(),
            front.hosts.clone(),
        );
        self.changes.working = Some(Work::Show(front, shown));
        self.work(move || {
            if is_other {
                network.apply(&[rules]).map_err(|message| (message, None))?;
            }
            files::write_hosts(&state, &hosts).map_err(|error| unwritten(state.path(), &error))
        });
    }

    /// Closes published ports that are no more, and listens on those that have come.
    pub(super) fn open_ports(&mut self, sockets: impl Iterator<Item = (On, TcpListener)>) {
        let plan = &self.lab.plan;
        let relays = &mut self.changes.relays;
        relays.retain(|on, _| plan.publish.iter().any(|port| port.on() == *on));
        for (on, socket) in sockets {
            if relays.contains_key(&on) || !plan.publish.iter().any(|port| port.on() == on) {
                continue;
            }
            match Relay::start(socket, Vec::new()) {
                Ok(relay) => drop(relays.insert(on, relay)),
                Err(error) => tracing::error!(%error, port = on.1, "cannot carry a published port"),
            }
        }
    }

    /// Tells the published ports where to dial now.
    pub(super) fn lead(&self) {
        for (port, dials) in self.lab.plan.publish.iter().zip(&self.changes.front.dials) {
            let Some(relay) = self.changes.relays.get(&port.on()) else {
                continue;
            };
            let network = &self.starter.network;
            let led = network
                .upstreams(dials)
                .and_then(|upstreams| relay.lead(upstreams));
            if let Err(error) = led {
                tracing::error!(%error, port = port.host_port, "cannot lead a published port");
            }
        }
    }
}
