//! The host's side of a lab: what its network has already, and the one pair of interfaces that joins it to the router when root runs
//! the lab. The only part of the crate that makes anything outside the lab's own namespaces.
//!
//! What it makes needs no removing either: an interface of a pair goes with its other end, which goes with the router's namespace,
//! and routes go with their interface.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::time::Duration;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use nix::net::if_::{if_indextoname, if_nameindex, if_nametoindex};
use nix::unistd::Pid;

use super::apply::{BuildError, Network};
use super::namespace::{NetNamespace, run_in};
use super::netlink::{Netlink, messages};
use crate::plan::{HOST, HostNetwork, ROUTER, Taken, UPLINK, Uplink};

/// How often an interface that is about to go is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Reads what the calling thread's network has. Any user may.
///
/// # Errors
/// When the kernel does not answer.
pub fn host_network() -> io::Result<HostNetwork> {
    let routes = Netlink::open()?.all(messages::all_routes())?;
    let links = if_nameindex()?;
    Ok(HostNetwork {
        links: links
            .into_iter()
            .map(|link| link.name().to_string_lossy().into_owned())
            .collect(),
        // An address is a route too, in the table `local`.
        taken: routes
            .iter()
            .filter_map(|answer| match answer {
                RouteNetlinkMessage::NewRoute(route) => taken(route),
                _ => None,
            })
            .collect(),
    })
}

fn taken(route: &RouteMessage) -> Option<Taken> {
    let subnet = route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(*address),
            _ => None,
        })?;
    let interface = route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Oif(index) => Some(*index),
            RouteAttribute::MultiPath(hops) => hops.first().map(|hop| hop.interface_index),
            _ => None,
        });
    let by = match (interface.map(if_indextoname), route.header.kind) {
        (Some(Ok(name)), _) => name.to_string_lossy().into_owned(),
        (_, RouteType::BlackHole | RouteType::Unreachable | RouteType::Prohibit) => {
            "a route that leads nowhere".to_owned()
        }
        _ => "a route".to_owned(),
    };
    Some(Taken {
        subnet: ipnet::Ipv4Net::new(subnet, route.header.destination_prefix_length).ok()?,
        by,
    })
}

/// Whether the calling thread's network has no interface of that name, or has none any more within `timeout`: the kernel frees a
/// namespace, and what is paired with something in it, a moment after its last process.
#[must_use]
pub fn is_gone(link: &str, timeout: Duration) -> bool {
    let looks = timeout.as_millis() / LOOK_AGAIN.as_millis();
    (0..=looks).any(|look| {
        if look > 0 {
            std::thread::sleep(LOOK_AGAIN);
        }
        if_nametoindex(link).is_err()
    })
}

/// The router's namespace, which the lab's first process `first` holds by that descriptor. Whoever holds it keeps the lab's network in
/// being, so it must be let go soon.
///
/// # Errors
/// When the process is gone.
pub fn router_of(first: Pid, descriptor: RawFd) -> Result<NetNamespace, BuildError> {
    let path = format!("/proc/{first}/fd/{descriptor}");
    let file = File::open(&path).map_err(|error| BuildError::of(&path, &error))?;
    Ok(NetNamespace::from(OwnedFd::from(file)))
}

/// Joins the calling thread's network to the router. To be called by root outside the lab: the lab's own root has no rights here.
///
/// # Errors
/// The step that was refused; nothing is left of those before it.
pub fn connect(uplink: &Uplink, router: NetNamespace) -> Result<(), BuildError> {
    let host = NetNamespace::current().map_err(|error| BuildError::of("ip link", &error))?;
    let mut network = Network::holding([(HOST, host), (ROUTER, router)]);
    let Some((pair, rest)) = uplink.ops.split_first() else {
        return Ok(());
    };
    network.apply(std::slice::from_ref(pair))?;
    network.apply(rest).inspect_err(|_| {
        let _ = delete(&uplink.link); // the refusal is what is told
    })
}

/// Takes the uplink away from the router's side, and the host's end with it at once. To be called by the lab when it ends in order,
/// so that nothing is left the moment it has.
///
/// # Errors
/// When there is none.
pub fn disconnect(router: &NetNamespace) -> io::Result<()> {
    run_in(router.as_fd(), || delete(UPLINK))?
}

fn delete(link: &str) -> io::Result<()> {
    Netlink::open()?.change(messages::delete_link(link), 0)
}
