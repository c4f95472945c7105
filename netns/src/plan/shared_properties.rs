//! What must hold of any plan of a file without `x-flows`: Compose's own rule, pair by pair.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::opened::{Opening, cross, pairs};
use super::project;
use crate::plan::*;

/// A service: which of the three networks it is in, how many instances it has, which ports it publishes.
type Spec = (BTreeSet<usize>, u32, BTreeSet<u16>);

fn stacks() -> impl Strategy<Value = Vec<Spec>> {
    let networks = prop::collection::btree_set(0..3_usize, 0..=3);
    let ports = prop::collection::btree_set(1..5_u16, 0..3);
    prop::collection::vec((networks, 0..4_u32, ports), 1..7)
}

fn file(stack: &[Spec]) -> String {
    let mut text = "networks:\n".to_owned();
    for network in 0..3 {
        text += &format!("  n{network}: {{ipam: {{config: [{{subnet: 10.{network}.0.0/24}}]}}}}\n");
    }
    text += "services:\n";
    let mut host_port = 9000;
    for (index, (networks, scale, ports)) in stack.iter().enumerate() {
        text += &format!("  s{index}:\n    image: redis\n    scale: {scale}\n");
        if networks.is_empty() {
            text += "    network_mode: none\n";
            continue;
        }
        let networks: Vec<String> = networks
            .iter()
            .map(|network| format!("n{network}"))
            .collect();
        text += &format!("    networks: [{}]\n    ports: [", networks.join(", "));
        for port in ports {
            host_port += 1;
            text += &format!("\"{host_port}:{port}\", ");
        }
        text += "]\n";
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_pair_is_open_exactly_when_it_shares_a_network_and_the_world_reaches_what_is_published(stack in stacks()) {
        let plan = plan(&project(&file(&stack)), &Scale::new()).unwrap();
        let of = |index: usize| -> Vec<Ipv4Addr> {
            let own = plan.instances.iter().filter(|instance| instance.service == format!("s{index}"));
            own.filter_map(|instance| Some(instance.link.as_ref()?.address.addr())).collect()
        };
        let mut expected: BTreeSet<(Ipv4Addr, Ipv4Addr, Opening)> = BTreeSet::new();
        for (to, (networks, _, ports)) in stack.iter().enumerate() {
            for (from, (others, ..)) in stack.iter().enumerate() {
                if !networks.is_disjoint(others) {
                    expected.extend(cross(&of(from), &of(to)).into_iter().map(|(from, to)| (from, to, None)));
                }
            }
            for port in ports {
                let opening = Some(("tcp".to_owned(), *port));
                let world = cross(&[WORLD_ADDRESS.addr()], &of(to));
                expected.extend(world.into_iter().map(|(from, to)| (from, to, opening.clone())));
            }
        }
        prop_assert_eq!(pairs(&plan.ruleset), expected, "{}", plan.ruleset);
    }
}
