//! What only shows when the whole file is read: addresses, ports, cycles, and ports that no flow opens.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;

use super::diagnostic::Span;
use super::model::{Attachment, Condition, Network, Peer, Policy, Port, Protocol, Service};
use super::networks::{is_host, overlap};
use super::reader::Reader;

/// What the lab keeps for itself: the loopback and the world's network (`plan::WORLD_ADDRESS`).
const RESERVED: [(Ipv4Net, &str); 2] = [
    (
        Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8),
        "the loopback",
    ),
    (
        Ipv4Net::new_assert(Ipv4Addr::new(203, 0, 113, 0), 24),
        "the network between the router and the world",
    ),
];

impl Reader<'_> {
    /// Every check across services and networks.
    pub(super) fn check(
        &mut self,
        services: &BTreeMap<String, Service>,
        networks: &BTreeMap<String, Network>,
        policy: &Policy,
    ) {
        self.check_subnets(networks);
        self.check_addresses(services, networks);
        self.check_ports(services, policy);
        self.check_flows(services, policy);
        self.check_dependencies(services);
    }

    fn place(&self, key: &str) -> Span {
        self.places.get(key).copied().unwrap_or_default()
    }

    fn check_subnets(&mut self, networks: &BTreeMap<String, Network>) {
        // In the order of the file, so that the second of two is the one that is wrong.
        let mut ordered: Vec<(Span, &String, Ipv4Net)> = networks
            .iter()
            .map(|(name, network)| (self.place(&format!("subnet:{name}")), name, network.subnet))
            .collect();
        ordered.sort();
        for (index, (at, name, subnet)) in ordered.iter().enumerate() {
            for (reserved, whose) in RESERVED {
                if overlap(*subnet, reserved) {
                    self.error(
                        *at,
                        format!("subnet {subnet} of network `{name}` overlaps {reserved}, {whose}"),
                        "choose another subnet",
                    );
                }
            }
            for (first_at, first, other) in &ordered[..index] {
                if overlap(*subnet, *other) {
                    let line = self.line(*first_at);
                    self.error(*at, format!("subnet {subnet} of network `{name}` overlaps {other} of network `{first}` ({line})"), "choose another subnet");
                }
            }
        }
    }

    fn check_addresses(
        &mut self,
        services: &BTreeMap<String, Service>,
        networks: &BTreeMap<String, Network>,
    ) {
        let mut fixed: Vec<(Span, &Service, Ipv4Addr, &Network)> = Vec::new();
        for service in services.values() {
            if let Attachment::Tier {
                tier,
                address: Some(address),
                ..
            } = &service.attachment
                && let Some(network) = networks.get(tier)
            {
                fixed.push((
                    self.place(&format!("address:{}", service.name)),
                    service,
                    *address,
                    network,
                ));
            }
        }
        fixed.sort_by_key(|(at, ..)| *at);
        let mut taken: BTreeMap<Ipv4Addr, (Span, &str)> = BTreeMap::new();
        for (at, service, address, network) in fixed {
            let name = &service.name;
            let subnet = network.subnet;
            if !is_host(subnet, address) {
                self.error(
                    at,
                    format!("address {address} of `{name}` is no host address of {subnet}"),
                    "choose one inside the subnet",
                );
            } else if address == network.gateway {
                self.error(
                    at,
                    format!("address {address} of `{name}` is the gateway's"),
                    "choose another one",
                );
            } else if network.ip_range != subnet && network.ip_range.contains(&address) {
                self.error(
                    at,
                    format!(
                        "address {address} of `{name}` is in ip_range {}, which is for what scales",
                        network.ip_range
                    ),
                    "choose one outside ip_range",
                );
            }
            if let Some((first_at, first)) = taken.get(&address).copied() {
                let line = self.line(first_at);
                self.error(
                    at,
                    format!("address {address} of `{name}` is also that of `{first}` ({line})"),
                    "choose another one",
                );
            } else {
                taken.insert(address, (at, name));
            }
            if service.replicas > 1 {
                self.error(
                    at,
                    format!(
                        "`{name}` has {} replicas and one fixed address",
                        service.replicas
                    ),
                    "remove ipv4_address: instances are then numbered from ip_range",
                );
            }
        }
    }

    fn check_ports(&mut self, services: &BTreeMap<String, Service>, policy: &Policy) {
        let mut published: Vec<(&Service, &Port)> = services
            .values()
            .flat_map(|service| service.ports.iter().map(move |port| (service, port)))
            .collect();
        published.sort_by_key(|(_, port)| (port.at, port.host_port));
        for (index, (service, port)) in published.iter().enumerate() {
            for (other, earlier) in &published[..index] {
                if port.host_port != earlier.host_port {
                    continue;
                }
                let line = self.line(earlier.at);
                let same_target = (&service.name, port.target) == (&other.name, earlier.target);
                if port.host_ip.is_none()
                    || earlier.host_ip.is_none()
                    || port.host_ip == earlier.host_ip
                {
                    self.error(
                        port.at,
                        format!(
                            "host port {} is published twice, first by `{}` ({line})",
                            port.host_port, other.name
                        ),
                        "choose another host port",
                    );
                } else if !same_target {
                    // The router tells published ports apart by their number alone.
                    self.error(
                        port.at,
                        format!(
                            "host port {} leads to `{}` on another address ({line})",
                            port.host_port, other.name
                        ),
                        "choose another host port",
                    );
                }
            }
            if service.attachment == Attachment::None {
                self.error(
                    port.at,
                    format!("`{}` publishes a port, but has no network", service.name),
                    "remove `ports`, or `network_mode: none`",
                );
                continue;
            }
            let Policy::Flows(flows) = policy else {
                continue;
            };
            let opened = flows.iter().any(|flow| {
                flow.from == Peer::World
                    && flow.to == service.name
                    && flow.port == port.target
                    && flow.protocol == Protocol::Tcp
            });
            if !opened && !port.host_ip.is_some_and(|ip| is_loopback(&ip)) {
                self.error(
                    port.at,
                    format!(
                        "host port {} is published beyond the loopback, but no flow opens it",
                        port.host_port
                    ),
                    format!(
                        "add `world -> {}:{}` to x-flows, or publish it on 127.0.0.1",
                        service.name, port.target
                    ),
                );
            }
        }
    }

    fn check_flows(&mut self, services: &BTreeMap<String, Service>, policy: &Policy) {
        let Policy::Flows(flows) = policy else { return };
        for flow in flows {
            let from = match &flow.from {
                Peer::World => None,
                Peer::Service(name) => Some(name),
            };
            for name in from.into_iter().chain([&flow.to]) {
                if services
                    .get(name)
                    .is_some_and(|service| service.attachment == Attachment::None)
                {
                    self.error(
                        flow.at,
                        format!("a flow names `{name}`, which has `network_mode: none`"),
                        "remove the flow, or give the service a network",
                    );
                }
            }
        }
    }

    fn check_dependencies(&mut self, services: &BTreeMap<String, Service>) {
        for service in services.values() {
            for (name, dependency) in &service.depends_on {
                let checked = services
                    .get(name)
                    .is_some_and(|other| other.healthcheck.is_some());
                if dependency.condition == Condition::ServiceHealthy && !checked {
                    let at = self.place(&format!("depends:{}:{name}", service.name));
                    self.error(
                        at,
                        format!(
                            "`{}` waits for `{name}` to be healthy, but that has no healthcheck",
                            service.name
                        ),
                        "add one, or wait for service_started",
                    );
                }
            }
        }
        let mut done = BTreeSet::new();
        for name in services.keys() {
            self.walk(services, name, &mut Vec::new(), &mut done);
        }
    }

    /// Depth first, `path` being the way here; a service on its own path closes a cycle.
    fn walk<'p>(
        &mut self,
        services: &'p BTreeMap<String, Service>,
        name: &'p str,
        path: &mut Vec<&'p str>,
        done: &mut BTreeSet<&'p str>,
    ) {
        if let Some(start) = path.iter().position(|seen| *seen == name) {
            let cycle = [&path[start..], &[name]].concat();
            let at = self.place(&format!("depends:{}:{name}", path.last().unwrap_or(&name)));
            self.error(
                at,
                format!("depends_on has a cycle: {}", cycle.join(" -> ")),
                "remove one of these dependencies",
            );
            return;
        }
        if done.contains(name) {
            return;
        }
        path.push(name);
        for dependency in services
            .get(name)
            .into_iter()
            .flat_map(|service| service.depends_on.keys())
        {
            self.walk(services, dependency, path, done);
        }
        path.pop();
        done.insert(name);
    }
}

/// Whether only this machine can reach the address.
pub(crate) fn is_loopback(ip: &IpAddr) -> bool {
    ip.is_loopback()
}
