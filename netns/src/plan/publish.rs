//! Where the host listens, and where accepted connections are dialled on.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::policy::Permit;
use super::{Dial, Instance, Publish, PublishPath, ROUTER_ADDRESS, WORLD};
use crate::compose::{Port, Project, Protocol};

/// The published ports in the file's order; those of a service that has no instance at this scale are left out, so that the host does
/// not listen in vain.
pub(super) fn publish(
    project: &Project,
    instances: &[Instance],
    permits: &[Permit],
) -> Vec<Publish> {
    let mut ports: Vec<(&str, &Port)> = project
        .services
        .values()
        .flat_map(|service| {
            service
                .ports
                .iter()
                .map(|port| (service.name.as_str(), port))
        })
        .collect();
    ports.sort_by_key(|(_, port)| (port.at, port.host_port));
    ports
        .into_iter()
        .map(|(service, port)| one(service, port, instances, permits))
        .filter(|publish| !publish.dial.is_empty())
        .collect()
}

fn one(service: &str, port: &Port, instances: &[Instance], permits: &[Permit]) -> Publish {
    let opened = permits.iter().any(|permit| {
        permit.from.is_none()
            && permit.to == service
            && permit.port == Some((Protocol::Tcp, port.target))
    });
    let own = instances
        .iter()
        .filter(|instance| instance.service == service && !instance.is_guest());
    let (path, dial) = if opened {
        let address = SocketAddrV4::new(ROUTER_ADDRESS.addr(), port.host_port);
        (
            PublishPath::World,
            vec![Dial {
                namespace: WORLD.to_owned(),
                address,
            }],
        )
    } else {
        // By its own address, as Docker would dial it: what listens on the loopback alone stays private.
        let dial = own.map(|instance| Dial {
            namespace: instance.name.clone(),
            address: SocketAddrV4::new(
                instance
                    .link
                    .as_ref()
                    .map_or(Ipv4Addr::LOCALHOST, |link| link.address.addr()),
                port.target,
            ),
        });
        (PublishPath::OwnNamespace, dial.collect())
    };
    Publish {
        host_ip: port.host_ip,
        host_port: port.host_port,
        service: service.to_owned(),
        target_port: port.target,
        path,
        dial,
        at: port.at,
    }
}
