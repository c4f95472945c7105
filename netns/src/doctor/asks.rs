//! What the Compose file asks of this host: its published ports, and subnets that nobody else uses.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::check::{Check, Group};
use super::listeners::Listener;
use crate::compose::Project;

const GROUP: Group = Group::Project;

/// Routes of this metric are a lab's own.
const LABS_METRIC: &str = "9999";

/// What is known of the Compose file and what it meets.
#[derive(Clone, Debug)]
pub struct Asks {
    /// The published ports.
    pub ports: Vec<u16>,
    /// Who listens on them.
    pub taken: BTreeMap<u16, Listener>,
    /// The networks.
    pub subnets: BTreeMap<String, Ipv4Net>,
    /// The host's routes, with the interface they lead through; none when they cannot be read.
    pub routes: Option<Vec<(Ipv4Net, String)>>,
    /// Whether this project's own lab is up.
    pub is_up: bool,
}

/// The published ports of a project, each once.
pub(super) fn ports(project: &Project) -> Vec<u16> {
    let all = project.services.values().flat_map(|service| &service.ports);
    let mut ports: Vec<u16> = all.map(|port| port.host_port).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

pub(super) fn checks(asks: &Result<Asks, String>) -> Vec<Check> {
    let asks = match asks {
        Ok(asks) => asks,
        Err(reason) => return vec![Check::note(GROUP, "file", reason)],
    };
    let mut found = Vec::new();
    let free: Vec<String> = asks
        .ports
        .iter()
        .filter(|port| !asks.taken.contains_key(port))
        .map(ToString::to_string)
        .collect();
    if !free.is_empty() {
        found.push(Check::ok(GROUP, "free ports", free.join(", ")));
    }
    for (port, listener) in &asks.taken {
        let name = format!("port {port}");
        found.push(if asks.is_up {
            Check::ok(GROUP, &name, format!("{listener} listens on it; this project is up"))
        } else {
            Check::missing(GROUP, &name, format!("{listener} listens on it"))
                .remedy("stop it, or publish another: the file's variables can be set in the environment or in .env")
        });
    }
    let Some(routes) = &asks.routes else {
        found.push(Check::unknown(
            GROUP,
            "subnets",
            "the host's routes cannot be read",
        ));
        return found;
    };
    let mut unused = Vec::new();
    let mut subnets: Vec<_> = asks.subnets.iter().collect();
    subnets.sort_by_key(|(name, subnet)| (**subnet, name.as_str()));
    for (name, subnet) in subnets {
        let clash = routes
            .iter()
            .find(|(route, _)| route.contains(subnet) || subnet.contains(route));
        match clash {
            None => unused.push(subnet.to_string()),
            Some((route, interface)) => found.push(
                Check::note(GROUP, &format!("network {name}"), format!("{subnet} meets this host's {route} on {interface}"))
                    .remedy("the lab works all the same, Docker would refuse it: set the prefix to another in the environment or in .env"),
            ),
        }
    }
    if !unused.is_empty() {
        found.push(Check::ok(GROUP, "free subnets", unused.join(", ")));
    }
    found
}

/// The routes of `/proc/net/route` (`proc_net_route` in the kernel's documentation): destination and mask are in hexadecimal, the
/// first byte last. The default route is everybody's, and a lab's own routes are no obstacle to it.
pub(super) fn routes(table: &str) -> Vec<(Ipv4Net, String)> {
    let address = |hex: &str| {
        u32::from_str_radix(hex, 16)
            .ok()
            .map(|bits| Ipv4Addr::from(bits.to_le_bytes()))
    };
    let route = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let net =
            Ipv4Net::with_netmask(address(columns.get(1)?)?, address(columns.get(7)?)?).ok()?;
        (net.prefix_len() > 0 && columns.get(6) != Some(&LABS_METRIC))
            .then(|| (net, columns[0].to_owned()))
    };
    table.lines().skip(1).filter_map(route).collect()
}

#[cfg(test)]
mod tests {
    use super::super::check::State;
    use super::*;

    const TABLE: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
        eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
        docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
        br-shop\t000014AC\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
        netns0\t000016AC\t00000000\t0001\t0\t0\t9999\t00FFFFFF\t0\t0\t0\n";

    fn asks(taken: &[u16], is_up: bool) -> Result<Asks, String> {
        let listener = Listener {
            process: Some(("httpd".into(), 7)),
        };
        let subnet = |third: u8| Ipv4Net::new_assert([172, third, 0, 0].into(), 24);
        Ok(Asks {
            ports: vec![3000, 8080],
            taken: taken.iter().map(|port| (*port, listener.clone())).collect(),
            subnets: [
                ("frontend".into(), subnet(20)),
                ("database".into(), subnet(22)),
            ]
            .into(),
            routes: Some(routes(TABLE)),
            is_up,
        })
    }

    #[test]
    fn what_is_in_the_way_is_told_from_what_is_not() {
        let states = |asks| -> Vec<(String, State)> {
            checks(&asks)
                .into_iter()
                .map(|check| (check.name, check.state))
                .collect()
        };
        let named = |name: &str, state| (name.to_owned(), state);
        assert_eq!(
            states(asks(&[8080], false)),
            [
                named("free ports", State::Ok),
                named("port 8080", State::Missing),
                named("network frontend", State::Note),
                named("free subnets", State::Ok),
            ]
        );
        assert_eq!(
            states(asks(&[8080], true))[1],
            named("port 8080", State::Ok)
        );
        let found = checks(&asks(&[], false));
        assert_eq!(
            found[1].found,
            "172.20.0.0/24 meets this host's 172.20.0.0/24 on br-shop"
        );
        assert_eq!(
            found[2].found, "172.22.0.0/24",
            "a lab's own route is no obstacle"
        );
        let alone = asks(&[], false).map(|asks| Asks {
            routes: Some(Vec::new()),
            ..asks
        });
        assert_eq!(checks(&alone)[1].found, "172.20.0.0/24, 172.22.0.0/24");
        assert_eq!(
            states(Err("there is none".into())),
            [named("file", State::Note)]
        );
    }
}
