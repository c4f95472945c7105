//! The policy, from services to addresses: which address may open a connection to which.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::{Instance, Uplink, WORLD_ADDRESS};
use crate::compose::{Attachment, Peer, Policy, Project, Protocol, Service};

/// One permitted kind of connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Permit {
    /// What the file calls it: `product-service -> redis:6379`.
    pub(super) label: String,
    /// Who opens it; none stands for the world.
    pub(super) from: Option<String>,
    /// The service dialled.
    pub(super) to: String,
    /// Addresses that open it, at least one.
    pub(super) sources: Vec<Ipv4Addr>,
    /// Addresses dialled, at least one.
    pub(super) destinations: Vec<Ipv4Addr>,
    /// The port dialled; none means any port of any protocol (services that share a network, without `x-flows`).
    pub(super) port: Option<(Protocol, u16)>,
}

/// The permits, sorted; one whose service has no instance at this scale is left out.
pub(super) fn permits(
    project: &Project,
    instances: &[Instance],
    uplink: Option<&Uplink>,
) -> Vec<Permit> {
    let mut permits: Vec<Permit> = match &project.policy {
        Policy::Flows(flows) => {
            let mut flows: Vec<_> = flows.iter().collect();
            flows.sort_by_key(|flow| (&flow.from, &flow.to, flow.port, flow.protocol));
            flows
                .into_iter()
                .map(|flow| {
                    permit(
                        instances,
                        &flow.from,
                        &flow.to,
                        Some((flow.protocol, flow.port)),
                    )
                })
                .collect()
        }
        Policy::SharedNetworks => shared(project, instances),
    };
    // The host is the world, coming by another way.
    for permit in permits.iter_mut().filter(|permit| permit.from.is_none()) {
        permit
            .sources
            .extend(uplink.map(|uplink| uplink.host.addr()));
    }
    permits.retain(|permit| !permit.sources.is_empty() && !permit.destinations.is_empty());
    permits
}

/// Compose's own rule: mates in a network reach each other, the world reaches what is published.
fn shared(project: &Project, instances: &[Instance]) -> Vec<Permit> {
    let mut permits = Vec::new();
    let services: Vec<&Service> = project.services.values().collect();
    let published: BTreeSet<(&str, u16)> = services
        .iter()
        .flat_map(|service| {
            service
                .ports
                .iter()
                .map(|port| (service.name.as_str(), port.target))
        })
        .collect();
    for (service, port) in published {
        permits.push(permit(
            instances,
            &Peer::World,
            service,
            Some((Protocol::Tcp, port)),
        ));
    }
    for from in &services {
        for to in services.iter().filter(|to| mates(from, to)) {
            permits.push(permit(
                instances,
                &Peer::Service(from.name.clone()),
                &to.name,
                None,
            ));
        }
    }
    permits
}

fn mates(a: &Service, b: &Service) -> bool {
    match (&a.attachment, &b.attachment) {
        (Attachment::Tier { networks: a, .. }, Attachment::Tier { networks: b, .. }) => {
            !a.is_disjoint(b)
        }
        _ => false,
    }
}

fn permit(instances: &[Instance], from: &Peer, to: &str, port: Option<(Protocol, u16)>) -> Permit {
    // A one-off instance opens connections like any other of its service; nobody opens one to it.
    let addresses = |service: &str, guests: bool| {
        let of_service = instances
            .iter()
            .filter(|instance| instance.service == service && (guests || !instance.is_guest()));
        of_service
            .filter_map(|instance| Some(instance.link.as_ref()?.address.addr()))
            .collect()
    };
    let (name, from, sources) = match from {
        Peer::World => ("world", None, vec![WORLD_ADDRESS.addr()]),
        Peer::Service(name) => (name.as_str(), Some(name.clone()), addresses(name, true)),
    };
    let label = match port {
        Some((Protocol::Tcp, port)) => format!("{name} -> {to}:{port}"),
        Some((Protocol::Udp, port)) => format!("{name} -> {to}:{port}/udp"),
        None => format!("{name} -> {to}"),
    };
    Permit {
        label,
        from,
        to: to.to_owned(),
        sources,
        destinations: addresses(to, false),
        port,
    }
}
