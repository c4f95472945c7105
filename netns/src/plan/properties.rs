//! What must hold of any plan.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::project;
use crate::plan::*;

/// For each service its tier, whether its address is fixed, and its scale; and flows between them, the number of services standing
/// for the world.
type Stack = (Vec<(usize, bool, u32)>, BTreeSet<(usize, usize, u16)>);

fn stacks() -> impl Strategy<Value = Stack> {
    prop::collection::vec((0..3_usize, any::<bool>(), 1..5_u32), 1..9).prop_flat_map(|services| {
        let count = services.len();
        (
            Just(services),
            prop::collection::btree_set((0..=count, 0..count, 1..4_u16), 0..12),
        )
    })
}

/// Names that are alike at their start and too long for an interface.
fn name(index: usize) -> String {
    format!("a-rather-long-service-{index}")
}

fn file(
    services: &[(usize, bool, u32)],
    flows: &BTreeSet<(usize, usize, u16)>,
    reverse: bool,
) -> String {
    let mut entries: Vec<String> = services
        .iter()
        .enumerate()
        .map(|(index, (tier, fixed, scale))| {
            let address = if *fixed {
                format!("ipv4_address: 10.{tier}.0.{}", index + 10)
            } else {
                String::new()
            };
            let scale = if *fixed { 1 } else { *scale };
            format!(
                "  {}: {{image: redis, networks: {{t{tier}: {{{address}}}}}, scale: {scale}}}\n",
                name(index)
            )
        })
        .collect();
    let mut arrows: Vec<String> = flows
        .iter()
        .map(|(from, to, port)| {
            let from = if *from == services.len() {
                "world".to_owned()
            } else {
                name(*from)
            };
            format!("  - {from} -> {}:{port}\n", name(*to))
        })
        .collect();
    if reverse {
        entries.reverse();
        arrows.reverse();
    }
    let networks: String =
        (0..3).map(|tier| format!("  t{tier}: {{ipam: {{config: [{{subnet: 10.{tier}.0.0/24, ip_range: 10.{tier}.0.128/25}}]}}}}\n")).collect();
    let arrows = if arrows.is_empty() {
        " []\n".to_owned()
    } else {
        format!("\n{}", arrows.concat())
    };
    format!(
        "x-flows:{arrows}networks:\n{networks}services:\n{}",
        entries.concat()
    )
}

/// The addresses of `saddr` or `daddr` in a rule.
fn operand(rule: &str, key: &str) -> BTreeSet<Ipv4Addr> {
    let after = rule.split_once(key).unwrap().1.trim_start();
    let list = after.strip_prefix('{').map_or_else(
        || after.split(' ').next().unwrap(),
        |rest| rest.split('}').next().unwrap(),
    );
    list.split(',')
        .map(|address| address.trim().parse().unwrap())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn plans_are_independent_of_the_order_of_the_file((services, flows) in stacks()) {
        let forward = plan(&project(&file(&services, &flows, false)), &Scale::new()).unwrap();
        let backward = plan(&project(&file(&services, &flows, true)), &Scale::new()).unwrap();
        prop_assert_eq!(serde_json::to_string(&forward).unwrap(), serde_json::to_string(&backward).unwrap());
    }

    #[test]
    fn no_two_interfaces_share_an_address_a_name_or_a_mac((services, flows) in stacks()) {
        let plan = plan(&project(&file(&services, &flows, false)), &Scale::new()).unwrap();
        let (mut addresses, mut macs, mut links) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for op in &plan.ops {
            match op {
                Op::AddAddress { address, .. } => prop_assert!(addresses.insert(address.addr()), "{}", address),
                Op::AddBridge { namespace, name, mac } => {
                    prop_assert!(name.len() <= 15 && links.insert((namespace, name)) && macs.insert(*mac), "{}", op);
                }
                Op::AddVeth { namespace, name, mac, peer_namespace, peer, peer_mac, .. } => {
                    prop_assert!(name.len() <= 15 && links.insert((namespace, name)) && macs.insert(*mac), "{}", op);
                    prop_assert!(links.insert((peer_namespace, peer)) && macs.insert(*peer_mac), "{}", op);
                }
                _ => {}
            }
        }
        prop_assert_eq!(addresses.len(), plan.instances.len() + plan.tiers.len() + 2);
    }

    #[test]
    fn every_declared_flow_has_one_rule_and_no_undeclared_pair_any((services, flows) in stacks()) {
        let plan = plan(&project(&file(&services, &flows, false)), &Scale::new()).unwrap();
        let rules: Vec<&str> = plan.ruleset.lines().filter(|line| line.contains(" ct state new ")).collect();
        prop_assert_eq!(rules.len(), flows.len());
        let of = |name: &str| -> Vec<Ipv4Addr> {
            let own = plan.instances.iter().filter(|instance| instance.service == name);
            own.map(|instance| instance.link.as_ref().unwrap().address.addr()).collect()
        };
        for from in 0..=services.len() {
            let sources = if from == services.len() { vec![WORLD_ADDRESS.addr()] } else { of(&name(from)) };
            for to in 0..services.len() {
                for port in 1..4 {
                    for (source, destination) in sources.iter().flat_map(|source| of(&name(to)).into_iter().map(move |to| (*source, to))) {
                        let accepting = rules.iter().filter(|rule| {
                            rule.contains(&format!(" tcp dport {port} "))
                                && operand(rule, "ip saddr").contains(&source)
                                && operand(rule, "ip daddr").contains(&destination)
                        });
                        prop_assert_eq!(accepting.count(), usize::from(flows.contains(&(from, to, port))));
                    }
                }
            }
        }
    }

    #[test]
    fn scaling_one_service_moves_no_other((services, flows) in stacks(), count in 1..8_u32) {
        let project = project(&file(&services, &flows, false));
        let before = plan(&project, &Scale::new()).unwrap();
        prop_assume!(!services[0].1);
        let after = plan(&project, &Scale::from([(name(0), count)])).unwrap();
        for instance in before.instances.iter().filter(|instance| instance.service != name(0)) {
            prop_assert_eq!(&after.instance(&instance.name).unwrap().link, &instance.link);
        }
    }
}
