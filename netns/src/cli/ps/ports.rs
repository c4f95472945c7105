//! Published ports, as Docker writes them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::lab::protocol::{PublishedPort, Status};

/// Those of a service, in the file's order.
pub(in crate::cli) fn of<'s>(
    status: &'s Status,
    service: &'s str,
) -> impl Iterator<Item = &'s PublishedPort> + Clone {
    let all = status.published.iter();
    all.filter(move |port| port.service == service)
}

/// Where on the host one is answered; 0.0.0.0: at every address.
pub(in crate::cli) fn host(port: &PublishedPort) -> SocketAddr {
    let address = port.host_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    SocketAddr::new(address, port.host_port)
}

/// `8080->3000/tcp`, with the host's address where it is not every one.
fn mapping(port: &PublishedPort) -> String {
    let host = host(port);
    let target = port.target_port;
    match host.ip().is_unspecified() {
        true => format!("{}->{target}/tcp", port.host_port),
        false => format!("{host}->{target}/tcp"),
    }
}

/// All of these ports.
pub(super) fn whole<'s>(ports: impl Iterator<Item = &'s PublishedPort>) -> String {
    let all: Vec<String> = ports.map(mapping).collect();
    all.join(", ")
}

/// The first of them, and how many more there are.
pub(super) fn brief<'s>(mut ports: impl Iterator<Item = &'s PublishedPort>) -> String {
    let first = ports.next().map(mapping).unwrap_or_default();
    match ports.count() {
        0 => first,
        more => format!("{first}, +{more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_written_as_docker_does() {
        let port = |host_ip: Option<&str>, host_port| PublishedPort {
            host_ip: host_ip.map(|address| address.parse().unwrap()),
            host_port,
            service: "web".to_owned(),
            target_port: 3000,
        };
        let ports = [
            port(None, 8080),
            port(Some("0.0.0.0"), 8081),
            port(Some("127.0.0.1"), 8082),
            port(Some("::1"), 8083),
        ];
        assert_eq!(
            whole(ports.iter()),
            "8080->3000/tcp, 8081->3000/tcp, 127.0.0.1:8082->3000/tcp, [::1]:8083->3000/tcp"
        );
        assert_eq!(brief(ports.iter()), "8080->3000/tcp, +3 more");
        assert_eq!(brief(ports[2..3].iter()), "127.0.0.1:8082->3000/tcp");
        assert_eq!((whole([].iter()), brief([].iter())), Default::default());
        assert_eq!(host(&ports[0]).to_string(), "0.0.0.0:8080");
    }
}
