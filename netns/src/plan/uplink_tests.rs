//! What an uplink may never do, whatever the host has.

use proptest::prelude::*;

use super::*;
use crate::plan::{Plan, Scale, WORLD, plan, plan_with};

fn project(subnets: &[Ipv4Net]) -> Project {
    let networks: String = (0..)
        .zip(subnets)
        .map(|(index, subnet)| {
            format!("  t{index}: {{ipam: {{config: [{{subnet: {subnet}}}]}}}}\n")
        })
        .collect();
    let services: String = (0..subnets.len())
        .map(|index| format!("  s{index}: {{image: redis, scale: 2, networks: [t{index}]}}\n"))
        .collect();
    crate::plan::tests::project(&format!(
        "name: shop\nx-flows: [\"world -> s0:80\", \"world -> s1:53/udp\", \"s0 -> s1:53/udp\"]\nnetworks:\n{networks}services:\n{services}"
    ))
}

fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

fn two_tiers() -> Project {
    project(&[net("172.20.0.0/24"), net("172.21.0.0/24")])
}

fn host(held: &[(&str, &str)]) -> HostNetwork {
    HostNetwork {
        links: ["lo".to_owned(), "eth0".to_owned()].into(),
        taken: held
            .iter()
            .map(|(subnet, by)| Taken {
                subnet: net(subnet),
                by: (*by).to_owned(),
            })
            .collect(),
    }
}

/// The plan with and without the uplink of a host that has nothing in the way.
fn joined() -> (Plan, Plan) {
    let project = two_tiers();
    let (uplink, hidden) = uplink(&project, "/var/lib/netns-setup/shop", &host(&[]));
    assert!(hidden.is_empty());
    (
        plan(&project, &Scale::new()).unwrap(),
        plan_with(&project, &Scale::new(), uplink).unwrap(),
    )
}

#[test]
fn the_steps_read_as_commands_of_the_host() {
    let (_, plan) = joined();
    let uplink = plan.uplink.as_ref().unwrap();
    let (link, host, router) = (&uplink.link, uplink.host.addr(), uplink.router.addr());
    let commands: Vec<String> = uplink.ops.iter().map(ToString::to_string).collect();
    assert_eq!(
        commands,
        [
            format!(
                "ip link add {link} address {} type veth peer name uplink address {} netns router",
                Mac::of(host),
                Mac::of(router)
            ),
            "ip netns exec router sysctl -w net/ipv6/conf/uplink/disable_ipv6=1".to_owned(),
            format!("ip -n router addr add {router}/31 dev uplink"),
            "ip -n router link set uplink up".to_owned(),
            format!("sysctl -w net/ipv6/conf/{link}/disable_ipv6=1"),
            format!("ip addr add {host}/31 dev {link}"),
            format!("ip link set {link} up"),
            format!("ip route add 172.20.0.0/24 via {router} metric 9999"),
            format!("ip route add 172.21.0.0/24 via {router} metric 9999"),
        ]
    );
    assert!(link.starts_with("ul-shop-") && link.len() == 12, "{link}");
    assert!(
        plan.script()
            .ends_with(&format!("{}\n", commands.join("\n")))
    );
}

#[test]
fn the_host_is_the_world_and_nothing_more() {
    let (without, with) = joined();
    let address = with.uplink.as_ref().unwrap().host.addr();
    let told = with
        .ruleset
        .replace(&format!("{{ 203.0.113.2, {address} }}"), "203.0.113.2");
    let (lines, other): (Vec<&str>, Vec<&str>) =
        (told.lines().collect(), without.ruleset.lines().collect());
    let added: Vec<&str> = lines
        .iter()
        .filter(|line| !other.contains(line))
        .copied()
        .collect();
    assert_eq!(
        added,
        [format!(
            "    iifname \"uplink\" ip saddr != {address} counter drop comment \"foreign source in uplink\""
        )]
    );
    assert_eq!(lines.len(), other.len() + 1, "{told}");
    let sources = with.ruleset.matches(&address.to_string()).count();
    assert_eq!(
        sources, 3,
        "two flows of the world, and the filter:\n{}",
        with.ruleset
    );
    // Published ports are translated for the world alone.
    assert!(
        !with
            .ruleset
            .contains(&format!("iifname \"{UPLINK}\" ip daddr"))
    );
    let direct: Vec<(String, u16, bool)> = with
        .direct
        .iter()
        .map(|direct| (direct.address.to_string(), direct.port, direct.udp))
        .collect();
    let of = |address: &str, port, udp| (address.to_owned(), port, udp);
    assert_eq!(
        direct,
        [
            of("172.20.0.2", 80, false),
            of("172.20.0.3", 80, false),
            of("172.21.0.2", 53, true),
            of("172.21.0.3", 53, true),
        ]
    );
    assert_eq!((without.direct.len(), without.uplink), (0, None));
    assert_eq!(
        serde_json::to_value(&without.instances).unwrap(),
        serde_json::to_value(&with.instances).unwrap()
    );
    assert!(with.ops.iter().all(|op| op.namespace() != HOST));
}

#[test]
fn what_the_host_has_stays_its_own() {
    let project = two_tiers();
    for (held, reached) in [
        // The same, a part, the whole: Docker's, an address, a company's network.
        (("172.20.0.0/24", "br-1"), vec!["172.21.0.0/24"]),
        (("172.20.0.1/32", "eth0"), vec!["172.21.0.0/24"]),
        (("172.16.0.0/12", "tun0"), vec![]),
        // The way to everywhere, whole or halved, says nothing of these.
        (
            ("0.0.0.0/0", "eth0"),
            vec!["172.20.0.0/24", "172.21.0.0/24"],
        ),
        (
            ("128.0.0.0/1", "tun0"),
            vec!["172.20.0.0/24", "172.21.0.0/24"],
        ),
        (
            ("172.22.0.0/24", "br-2"),
            vec!["172.20.0.0/24", "172.21.0.0/24"],
        ),
    ] {
        let (uplink, hidden) = uplink(&project, "a", &host(&[held]));
        let routes: Vec<String> = uplink
            .iter()
            .flat_map(|uplink| uplink.reached.iter().map(ToString::to_string))
            .collect();
        assert_eq!(routes, reached, "{held:?}");
        assert_eq!(uplink.is_some(), !reached.is_empty());
        assert_eq!(hidden.len() + reached.len(), 2);
        assert!(hidden.iter().all(|hidden| hidden.by.by == held.1));
    }
}

#[test]
fn what_the_lab_itself_has_is_in_nobodys_way() {
    let project = two_tiers();
    let own = ("172.20.0.0/24", "ul-own");
    let (uplink, hidden) = uplink(&project, "a", &host(&[own]).without("ul-own"));
    assert_eq!(uplink.map(|uplink| uplink.reached.len()), Some(2));
    assert!(hidden.is_empty(), "{hidden:?}");
}

#[test]
fn addresses_in_use_are_passed_over_range_by_range() {
    let project = two_tiers();
    let of = |held: &[(&str, &str)]| uplink(&project, "a", &host(held)).0;
    let benchmark = ("198.18.0.0/15", "fake-ip");
    let second = of(&[benchmark]).unwrap();
    assert!(net("198.51.100.0/24").contains(&second.host.addr()));
    let third = of(&[
        benchmark,
        ("198.51.100.0/25", "a"),
        ("198.51.100.128/25", "b"),
    ])
    .unwrap();
    assert!(net("192.0.2.0/24").contains(&third.host.addr()));
    assert_eq!(
        of(&[benchmark, ("198.51.100.0/24", "a"), ("192.0.2.0/24", "b")]),
        None
    );
}

fn subnets() -> impl Strategy<Value = Ipv4Net> {
    // Where labs, hosts and uplinks meet: few leading bits, all lengths.
    let places = prop_oneof![
        Just(Ipv4Addr::new(198, 18, 0, 0)),
        Just(Ipv4Addr::new(198, 51, 100, 0)),
        Just(Ipv4Addr::new(192, 0, 2, 0)),
        Just(Ipv4Addr::new(10, 0, 0, 0)),
    ];
    (places, any::<u32>(), 8..=32_u8).prop_map(|(place, bits, length)| {
        let address = Ipv4Addr::from_bits(place.to_bits() | bits & 0x0001_ffff);
        Ipv4Net::new(address, length).unwrap().trunc()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_that_exists_is_met(
        taken in prop::collection::vec(subnets(), 0..40),
        second in 0..255_u8,
        lab in "[a-z/-]{1,30}",
        occupied in any::<bool>(),
    ) {
        let project = project(&[net("198.18.0.0/24"), net(&format!("10.0.{second}.0/24"))]);
        let mut host = HostNetwork {
            links: ["eth0".to_owned()].into(),
            taken: taken.iter().map(|subnet| Taken { subnet: *subnet, by: "eth0".into() }).collect(),
        };
        if occupied {
            host.links.insert(link_name("shop", &lab));
        }
        let (uplink, hidden) = uplink(&project, &lab, &host);
        for tier in &hidden {
            prop_assert!(meet(tier.subnet, tier.by.subnet));
        }
        let Some(uplink) = uplink else { return Ok(()) };
        prop_assert!(uplink.link.len() <= 15 && !host.links.contains(&uplink.link), "{}", uplink.link);
        prop_assert_eq!(uplink.reached.len() + hidden.len(), 2);
        prop_assert!(uplink.host != uplink.router && uplink.host.trunc() == uplink.router.trunc());
        for subnet in taken.iter().copied().chain(project.networks.values().map(|network| network.subnet)) {
            prop_assert!(!subnet.contains(&uplink.host.addr()) && !subnet.contains(&uplink.router.addr()));
        }
        prop_assert!(RANGES.iter().any(|range| range.contains(&uplink.host)));
        // On the host, nothing but this interface and ways through it: no rule, no parameter of another, no other name.
        for op in uplink.ops.iter().filter(|op| op.namespace() == HOST) {
            match op {
                Op::AddVeth { name, peer_namespace, .. } => prop_assert!(*name == uplink.link && peer_namespace == ROUTER),
                Op::AddAddress { link, .. } | Op::LinkUp { link, .. } => {
                    prop_assert_eq!(link, &uplink.link);
                }
                Op::Sysctl { key, .. } => {
                    prop_assert_eq!(key, &format!("net/ipv6/conf/{}/disable_ipv6", uplink.link));
                }
                Op::AddRoute { destination, via, metric, .. } => {
                    prop_assert!(*via == uplink.router.addr() && *metric == Some(METRIC));
                    prop_assert!(uplink.reached.contains(destination));
                    prop_assert!(!taken.iter().any(|taken| meet(*taken, *destination)));
                }
                other => prop_assert!(false, "{}", other),
            }
        }
        // The plan's own steps know nothing of the host, and the router's interface has a name of its own.
        let plan = plan_with(&project, &Scale::new(), Some(uplink)).unwrap();
        prop_assert!(plan.ops.iter().all(|op| op.namespace() != HOST));
        prop_assert!(plan.tiers.iter().all(|tier| tier.bridge != UPLINK) && WORLD != UPLINK);
    }

    #[test]
    fn two_labs_that_see_each_other_never_meet(first in "[a-z]{1,9}", second in "[a-z]{1,9}") {
        let one = uplink(&two_tiers(), &first, &host(&[])).0.unwrap();
        let seen = HostNetwork {
            links: [one.link.clone()].into(),
            taken: one.reached.iter().copied().chain([one.host.trunc()])
                .map(|subnet| Taken { subnet, by: one.link.clone() }).collect(),
        };
        // With the same subnets the second has no way in; with others it has one of its own.
        let (none, hidden) = uplink(&two_tiers(), &second, &seen);
        prop_assert!(none.is_none() && hidden.len() == 2 && hidden.iter().all(|tier| tier.by.by == one.link));
        let other = uplink(&project(&[net("10.1.0.0/24"), net("10.2.0.0/24")]), &second, &seen).0.unwrap();
        prop_assert!(other.link != one.link && other.host.trunc() != one.host.trunc());
    }
}
