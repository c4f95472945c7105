//! How long networks of several sizes take to build. Figures for people; what is asserted is that what was built is all there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use netns_setup::compose::{Project, Source, read};
use netns_setup::kernel::build;
use netns_setup::plan::{Plan, ROUTER, Scale, plan};
use serde_json::Value;

use crate::lab::{Lab, output_in};

/// Instances a network is built with, in three tiers.
const SIZES: [usize; 3] = [12, 48, 200];
/// Times that each is built, in turns.
const ROUNDS: usize = 5;

pub(crate) fn networks_of_several_sizes(_: &mut Lab) {
    let plans = SIZES.map(|size| (size, planned(size)));
    let mut took = SIZES.map(|_| Vec::new());
    for round in 0..ROUNDS {
        for ((size, plan), took) in plans.iter().zip(&mut took) {
            let network = build(plan).unwrap();
            took.push(network.duration());
            if round == 0 {
                let router = network.namespace(ROUTER).unwrap();
                let ports = output_in(router, &["bridge", "-j", "link"]);
                let ports: Vec<Value> = serde_json::from_str(&ports).unwrap();
                assert_eq!(ports.len(), *size, "ports of all bridges");
            }
        }
    }
    for ((size, plan), mut took) in plans.iter().zip(took) {
        took.sort();
        let (least, median, most) = (took[0], took[ROUNDS / 2], took[ROUNDS - 1]);
        println!(
            "network of {size:3} instances ({} steps): median {:.1?} of {ROUNDS} ({least:.1?} to {most:.1?}), {:.1?} an instance",
            plan.ops.len(),
            median,
            median / u32::try_from(*size).unwrap_or(u32::MAX).max(1),
        );
    }
}

/// `size` instances of one service in each of three tiers, every one of which may reach the next tier.
fn planned(size: usize) -> Plan {
    let mut text = String::from("x-flows: [ web -> app:1, app -> db:1 ]\nservices:\n");
    for (tier, service) in ["web", "app", "db"].into_iter().enumerate() {
        let count = (size + 2 - tier) / 3;
        let _ = writeln!(
            text,
            "  {service}: {{ command: [sleep, inf], networks: [n{tier}], deploy: {{ replicas: {count} }} }}"
        );
    }
    text.push_str("networks: { n0: {}, n1: {}, n2: {} }\n");
    let plan = plan(&project(text), &Scale::new()).unwrap();
    assert_eq!(plan.instances.len(), size);
    plan
}

fn project(text: String) -> Project {
    let source = Source {
        path: PathBuf::from("compose.yaml"),
        text,
    };
    read(vec![source], Path::new("/project"), &BTreeMap::new()).unwrap()
}
