//! What must hold of any plan.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::opened::{cross, pairs, rules};
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
    let mut networks: Vec<String> = (0..3).map(|tier| format!("  t{tier}: {{ipam: {{config: [{{subnet: 10.{tier}.0.0/24, ip_range: 10.{tier}.0.128/25}}]}}}}\n")).collect();
    if reverse {
        networks.reverse();
    }
    let networks = networks.concat();
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
        prop_assert_eq!(rules(&plan.ruleset).len(), flows.len());
        let of = |index: usize| -> Vec<Ipv4Addr> {
            if index == services.len() {
                return vec![WORLD_ADDRESS.addr()];
            }
            let own = plan.instances.iter().filter(|instance| instance.service == name(index));
            own.map(|instance| instance.link.as_ref().unwrap().address.addr()).collect()
        };
        let mut declared = BTreeSet::new();
        for (from, to, port) in &flows {
            let opening = Some(("tcp".to_owned(), *port));
            declared.extend(cross(&of(*from), &of(*to)).into_iter().map(|(from, to)| (from, to, opening.clone())));
        }
        prop_assert_eq!(pairs(&plan.ruleset), declared);
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

/// What stands: one line a fact, with the namespace and the interface it hangs on.
type Facts = BTreeSet<(String, String, String)>;

/// Takes the steps as the kernel would.
fn taken(ops: &[Op], mut facts: Facts) -> Facts {
    for op in ops {
        let namespace = op.namespace().to_owned();
        let mut fact =
            |on: &str, what: String| facts.insert((namespace.clone(), on.to_owned(), what));
        match op {
            Op::AddNamespace { .. } => assert!(fact("", "exists".to_owned()), "{op}"),
            Op::DeleteNamespace { name } => {
                let ends: Vec<String> = veths(&facts)
                    .filter(|(_, _, peer_namespace)| peer_namespace == name)
                    .map(|(_, port, _)| port)
                    .collect();
                assert!(ends.is_empty(), "{op}: its links are removed before it");
                facts.retain(|(at, _, _)| at != name);
            }
            Op::DeleteLink { link, .. } => {
                let peer = veths(&facts).find(|(at, port, _)| *at == namespace && port == link);
                facts.retain(|(at, on, what)| {
                    !(*at == namespace && (on == link || what.contains(&format!("/{link}/"))))
                        && peer
                            .as_ref()
                            .is_none_or(|(_, _, other)| at != other || on != "eth0")
                });
            }
            Op::Ruleset { text, .. } => {
                facts.retain(|(_, on, _)| on != "rules");
                facts.insert((namespace, "rules".to_owned(), text.clone()));
            }
            Op::AddVeth {
                name,
                peer_namespace,
                peer,
                ..
            } => {
                fact(name, op.to_string());
                facts.insert((peer_namespace.clone(), peer.clone(), "peer".to_owned()));
            }
            Op::AddBridge { name, .. } => assert!(fact(name, op.to_string()), "{op}"),
            Op::IsolatePort { link, .. }
            | Op::LinkUp { link, .. }
            | Op::AddAddress { link, .. } => {
                assert!(fact(link, op.to_string()), "{op}");
            }
            // A route hangs on the interface towards its gateway.
            Op::AddRoute { .. } => assert!(fact("eth0", op.to_string()), "{op}"),
            Op::Sysctl { .. } => assert!(fact("", op.to_string()), "{op}"),
        }
    }
    facts
}

/// The pairs that stand: namespace and name of the near end, namespace of the far one.
fn veths(facts: &Facts) -> impl Iterator<Item = (String, String, String)> {
    facts.iter().filter_map(|(at, on, what)| {
        let (_, peer) = what.split_once(" type veth peer ")?;
        Some((at.clone(), on.clone(), peer.rsplit(' ').next()?.to_owned()))
    })
}

/// Every other stack: services come and go, tiers and flows with them.
fn two_stacks() -> impl Strategy<Value = (Stack, Stack, BTreeSet<usize>)> {
    (
        stacks(),
        stacks(),
        prop::collection::btree_set(0..9_usize, 0..4),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// What the steps of a change make of what the old plan made is what the new plan would have made.
    #[test]
    fn a_change_leads_from_one_plan_to_the_other(((old_services, old_flows), (new_services, new_flows), guests) in two_stacks()) {
        let old = plan(&project(&file(&old_services, &old_flows, false)), &Scale::new()).unwrap();
        let guests: Vec<Guest> = guests
            .into_iter()
            .filter(|service| *service < new_services.len())
            .map(|service| Guest { name: format!("{}-run-{service}", name(service)), service: name(service) })
            .collect();
        let new = replan(&project(&file(&new_services, &new_flows, false)), &Scale::new(), &guests, &old).unwrap();
        let change = change(&old, &new);
        let before = taken(&old.ops, Facts::new());
        let after = taken(&change.up, taken(&change.down, before));
        prop_assert_eq!(&after, &taken(&new.ops, Facts::new()));
        // Nobody who could stay moves: the same service in the same tier, with an address of its own from the range in both.
        for (index, (was, is)) in old_services.iter().zip(&new_services).enumerate() {
            if was.0 == is.0 && !was.1 && !is.1 {
                for number in 1..=was.2.min(is.2) {
                    let instance = format!("{}-{number}", name(index));
                    prop_assert_eq!(&old.instance(&instance).unwrap().link, &new.instance(&instance).unwrap().link);
                    prop_assert!(!change.leave.contains(&instance) && !change.join.contains(&instance));
                }
            }
        }
        let (mut addresses, mut ports) = (BTreeSet::new(), BTreeSet::new());
        for instance in &new.instances {
            let link = instance.link.as_ref().unwrap();
            prop_assert!(addresses.insert(link.address) && ports.insert(&link.port) && link.port.len() <= 15);
        }
        prop_assert!(crate::plan::change(&new, &new).is_nothing());
    }

    /// A one-off instance is under its service's policy, and nobody is led to it.
    #[test]
    fn a_guest_is_met_by_nobody((services, flows) in stacks()) {
        let file = project(&file(&services, &flows, false));
        let before = plan(&file, &Scale::new()).unwrap();
        let guest = Guest { name: "guest".to_owned(), service: name(0) };
        let after = replan(&file, &Scale::new(), &[guest], &before).unwrap();
        let address = after.instance("guest").unwrap().link.as_ref().unwrap().address.addr();
        for (old, new) in before.instances.iter().map(|old| (old, after.instance(&old.name).unwrap())) {
            prop_assert_eq!(old, new);
        }
        let (old, new) = (rules(&before.ruleset), rules(&after.ruleset));
        prop_assert_eq!(old.len(), new.len());
        for (mut old, new) in old.into_iter().zip(new) {
            if new.comment.starts_with(&format!("{} ->", name(0))) {
                old.sources.insert(address);
            }
            prop_assert_eq!(old, new);
        }
        prop_assert_eq!(before.publish, after.publish);
    }
}
