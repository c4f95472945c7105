//! Where `exec` takes place, and as what.

use super::hand::Hand;
use super::invocation;
use super::keeper::Keeper;
use super::serve::{Located, Place};
use crate::columns::choice;
use crate::lab::protocol::Exec;
use crate::plan::{ROUTER, WORLD};

impl Keeper {
    /// Finds the place that is named, and puts together what is to run there.
    pub(super) fn locate(&self, exec: Exec) -> Result<Located, String> {
        if [ROUTER, WORLD].contains(&exec.target.as_str()) {
            let target = exec.target.clone();
            return self.visit(&target, exec);
        }
        let named: Vec<&Hand> = self
            .by_name()
            .into_iter()
            .filter(|hand| [&hand.planned.name, &hand.planned.service].contains(&&exec.target))
            .chain(self.one_offs.get(&exec.target))
            .collect();
        if named.is_empty() && self.lab.held.is_some() {
            // Nothing runs, but its network may be there.
            let target = exec.target.clone();
            return self.visit(&target, exec);
        }
        if named.is_empty() {
            return Err(self.unknown(&exec));
        }
        // Its network is there whether or not it runs.
        if exec.privileged {
            return self.visit(&named[0].planned.name, exec);
        }
        let running = || named.iter().filter_map(|hand| Some((hand, hand.pid?)));
        let going_on = running().find(|(hand, _)| !hand.is_paused);
        match going_on.or_else(|| running().next()) {
            Some((hand, _)) if hand.is_paused => Err(format!(
                "{0} is paused; `netns-setup unpause {0}` lets it go on",
                hand.planned.name
            )),
            Some((hand, pid)) => Ok(Located {
                place: Place::Sandbox(pid),
                detach: exec.detach,
                spec: invocation::program(&hand.spec, exec),
            }),
            None => Err(format!(
                "{} is not running; `netns-setup ps -a` shows why",
                exec.target
            )),
        }
    }

    fn visit(&self, namespace: &str, exec: Exec) -> Result<Located, String> {
        let network = self.starter.network.namespace(namespace);
        let network = network.map_err(|error| error.to_string())?;
        Ok(Located {
            place: Place::Network(network),
            detach: exec.detach,
            spec: invocation::visitor(namespace, exec),
        })
    }

    /// That nothing has the name, and what would do: where a program of the machine runs, a network is enough.
    fn unknown(&self, exec: &Exec) -> String {
        let hands = self.by_name().into_iter().chain(self.one_offs.values());
        let places = hands
            .filter(|hand| exec.privileged || hand.pid.is_some())
            .map(|hand| hand.planned.name.as_str())
            .chain([ROUTER, WORLD]);
        format!(
            "no service or instance is named {}{}",
            exec.target,
            choice("there are", places)
        )
    }
}
