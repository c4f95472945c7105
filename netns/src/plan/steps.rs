//! The steps in their order: namespaces, policy, router, world, instances. Policy comes before the first link, a bridge port is
//! isolated before it is up, and no step names what a later one makes.

use ipnet::Ipv4Net;

use super::{Instance, Mac, Op, ROUTER, ROUTER_ADDRESS, Tier, WORLD, WORLD_ADDRESS};

/// The interface of an instance, and of the world.
const ETH0: &str = "eth0";
const EVERYWHERE: Ipv4Net = Ipv4Net::new_assert(std::net::Ipv4Addr::UNSPECIFIED, 0);

/// Every step of bringing the network up.
pub(super) fn steps(tiers: &[Tier], instances: &[Instance], ruleset: &str) -> Vec<Op> {
    let names = [ROUTER, WORLD]
        .into_iter()
        .chain(instances.iter().map(|instance| instance.name.as_str()));
    let mut ops: Vec<Op> = names
        .map(|name| Op::AddNamespace {
            name: name.to_owned(),
        })
        .collect();
    ops.push(Op::Ruleset {
        namespace: ROUTER.to_owned(),
        text: ruleset.to_owned(),
    });
    router(&mut ops, tiers);
    world(&mut ops);
    for instance in instances {
        one(&mut ops, instance);
    }
    ops
}

fn router(ops: &mut Vec<Op>, tiers: &[Tier]) {
    ops.push(up(ROUTER, "lo"));
    ops.push(sysctl(ROUTER, "net/ipv4/ip_forward", "1"));
    // A redirect (RFC 792) would send neighbours in a tier to each other directly, past the policy. The kernel sends them when either
    // `all` or the interface says so; both are set.
    ops.push(sysctl(ROUTER, "net/ipv4/conf/all/send_redirects", "0"));
    // Otherwise the refusals of the policy are rationed to one a second for each host, and a caller waits that second.
    ops.push(sysctl(ROUTER, "net/ipv4/icmp_ratelimit", "0"));
    for tier in tiers {
        bridge(ops, tier);
    }
}

/// The bridge of a network, and the router's address in it.
pub(super) fn bridge(ops: &mut Vec<Op>, tier: &Tier) {
    let Tier {
        bridge,
        subnet,
        gateway,
        mac,
        ..
    } = tier;
    ops.push(Op::AddBridge {
        namespace: ROUTER.to_owned(),
        name: bridge.clone(),
        mac: *mac,
    });
    ops.push(sysctl(
        ROUTER,
        &format!("net/ipv4/conf/{bridge}/send_redirects"),
        "0",
    ));
    // The bridge answers ARP for the neighbours of whoever asks (RFC 3069, VLAN aggregation: Linux calls it private VLAN), so that
    // their packets come to be routed; and at once: by default it hesitates for up to 0.8 s.
    ops.push(sysctl(
        ROUTER,
        &format!("net/ipv4/conf/{bridge}/proxy_arp_pvlan"),
        "1",
    ));
    ops.push(sysctl(
        ROUTER,
        &format!("net/ipv4/neigh/{bridge}/proxy_delay"),
        "0",
    ));
    ops.push(address(
        ROUTER,
        bridge,
        Ipv4Net::new(*gateway, subnet.prefix_len()).unwrap_or(*subnet),
    ));
    ops.push(up(ROUTER, bridge));
}

fn world(ops: &mut Vec<Op>) {
    ops.push(Op::AddVeth {
        namespace: ROUTER.to_owned(),
        name: WORLD.to_owned(),
        mac: Mac::of(ROUTER_ADDRESS.addr()),
        bridge: None,
        peer_namespace: WORLD.to_owned(),
        peer: ETH0.to_owned(),
        peer_mac: Mac::of(WORLD_ADDRESS.addr()),
    });
    ops.extend([address(ROUTER, WORLD, ROUTER_ADDRESS), up(ROUTER, WORLD)]);
    ops.extend([
        up(WORLD, "lo"),
        address(WORLD, ETH0, WORLD_ADDRESS),
        up(WORLD, ETH0),
    ]);
    ops.push(Op::AddRoute {
        namespace: WORLD.to_owned(),
        destination: EVERYWHERE,
        via: ROUTER_ADDRESS.addr(),
        metric: None,
    });
}

/// The link of an instance; its namespace is there.
pub(super) fn one(ops: &mut Vec<Op>, instance: &Instance) {
    let name = &instance.name;
    ops.push(up(name, "lo"));
    let Some(link) = &instance.link else { return };
    ops.push(Op::AddVeth {
        namespace: ROUTER.to_owned(),
        name: link.port.clone(),
        mac: link.port_mac,
        bridge: Some(link.bridge.clone()),
        peer_namespace: name.clone(),
        peer: ETH0.to_owned(),
        peer_mac: link.mac,
    });
    ops.push(Op::IsolatePort {
        namespace: ROUTER.to_owned(),
        link: link.port.clone(),
    });
    ops.push(up(ROUTER, &link.port));
    ops.extend([address(name, ETH0, link.address), up(name, ETH0)]);
    ops.push(Op::AddRoute {
        namespace: name.clone(),
        destination: EVERYWHERE,
        via: link.gateway,
        metric: None,
    });
    // Services run without capabilities; Docker lets them listen below 1024 the same way.
    ops.push(sysctl(name, "net/ipv4/ip_unprivileged_port_start", "0"));
    for (key, value) in &instance.sysctls {
        ops.push(sysctl(name, &key.replace('.', "/"), value));
    }
}

pub(super) fn up(namespace: &str, link: &str) -> Op {
    Op::LinkUp {
        namespace: namespace.to_owned(),
        link: link.to_owned(),
    }
}

pub(super) fn address(namespace: &str, link: &str, address: Ipv4Net) -> Op {
    Op::AddAddress {
        namespace: namespace.to_owned(),
        link: link.to_owned(),
        address,
    }
}

pub(super) fn sysctl(namespace: &str, key: &str, value: &str) -> Op {
    Op::Sysctl {
        namespace: namespace.to_owned(),
        key: key.to_owned(),
        value: value.to_owned(),
    }
}
