//! From one plan to the next, on a network that stands: what goes, what comes, and the steps of either. Pure.

use std::collections::BTreeSet;

use super::steps::{bridge, one};
use super::{Instance, Op, Plan, ROUTER};

/// What a plan makes of the one before it. What both have alike is not touched: an instance that stays keeps its namespace, link,
/// address and connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Instances that go, sorted by service and index. One whose link or namespace changes goes, and comes again.
    pub leave: Vec<String>,
    /// Instances that come, sorted by service and index.
    pub join: Vec<String>,
    /// The steps that take away what goes, to be taken when its processes have ended.
    pub down: Vec<Op>,
    /// The steps that make what comes, to be taken after those.
    pub up: Vec<Op>,
}

impl Change {
    /// Whether the network stays as it is.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.down.is_empty() && self.up.is_empty()
    }
}

/// What leads from `old` to `new`, which must have been planned around it (see [`super::replan`]).
#[must_use]
pub fn change(old: &Plan, new: &Plan) -> Change {
    let of = |plan: &Plan, other: &Plan| -> Vec<Instance> {
        let stays = |instance: &&Instance| {
            other
                .instance(&instance.name)
                .is_some_and(|same| same.link == instance.link && same.sysctls == instance.sysctls)
        };
        plan.instances
            .iter()
            .filter(|instance| !stays(instance))
            .cloned()
            .collect()
    };
    let (leave, join) = (of(old, new), of(new, old));
    let bridges = |plan: &Plan| -> BTreeSet<String> {
        plan.tiers.iter().map(|tier| tier.bridge.clone()).collect()
    };
    let (before, after) = (bridges(old), bridges(new));

    let mut down = Vec::new();
    for instance in &leave {
        if let Some(link) = &instance.link {
            down.push(delete_link(&link.port));
        }
        down.push(Op::DeleteNamespace {
            name: instance.name.clone(),
        });
    }
    down.extend(before.difference(&after).map(|name| delete_link(name)));

    let mut up: Vec<Op> = join
        .iter()
        .map(|instance| Op::AddNamespace {
            name: instance.name.clone(),
        })
        .collect();
    if old.ruleset != new.ruleset {
        up.push(Op::Ruleset {
            namespace: ROUTER.to_owned(),
            text: new.ruleset.clone(),
        });
    }
    for tier in new
        .tiers
        .iter()
        .filter(|tier| !before.contains(&tier.bridge))
    {
        bridge(&mut up, tier);
    }
    for instance in &join {
        one(&mut up, instance);
    }
    let names = |instances: Vec<Instance>| instances.into_iter().map(|one| one.name).collect();
    Change {
        leave: names(leave),
        join: names(join),
        down,
        up,
    }
}

fn delete_link(link: &str) -> Op {
    Op::DeleteLink {
        namespace: ROUTER.to_owned(),
        link: link.to_owned(),
    }
}
