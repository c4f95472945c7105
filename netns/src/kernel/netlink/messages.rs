//! The netlink message that a step of the plan is. Pure.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use ipnet::Ipv4Net;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute,
    LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::plan::Mac;

/// One end of a veth pair.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernel) struct End<'a> {
    pub(in crate::kernel) name: &'a str,
    pub(in crate::kernel) mac: Mac,
}

fn link(name: &str, mac: Mac) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::Address(mac.0.to_vec()),
    ];
    message
}

/// `ip link add NAME address MAC type bridge`
pub(in crate::kernel) fn add_bridge(name: &str, mac: Mac) -> RouteNetlinkMessage {
    let mut message = link(name, mac);
    message
        .attributes
        .push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(
            InfoKind::Bridge,
        )]));
    RouteNetlinkMessage::NewLink(message)
}

/// `ip link add NEAR address MAC [master BRIDGE] type veth peer name FAR address MAC netns NAMESPACE`, in one message: there is no
/// moment at which an end is in the wrong place.
pub(in crate::kernel) fn add_veth(
    near: End<'_>,
    bridge: Option<u32>,
    far: End<'_>,
    far_namespace: BorrowedFd<'_>,
) -> RouteNetlinkMessage {
    let mut peer = link(far.name, far.mac);
    peer.attributes
        .push(LinkAttribute::NetNsFd(far_namespace.as_raw_fd()));
    let mut message = link(near.name, near.mac);
    message
        .attributes
        .extend(bridge.map(LinkAttribute::Controller));
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
    ]));
    RouteNetlinkMessage::NewLink(message)
}

/// `ip link set LINK type bridge_slave isolated on`
pub(in crate::kernel) fn isolate_port(index: u32) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::PortKind(InfoPortKind::Bridge),
        LinkInfo::PortData(InfoPortData::BridgePort(vec![InfoBridgePort::Isolated(
            true,
        )])),
    ]));
    RouteNetlinkMessage::NewLink(message)
}

/// `ip link del LINK`, and with it the other end of a pair
pub(in crate::kernel) fn delete_link(name: &str) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message
        .attributes
        .push(LinkAttribute::IfName(name.to_owned()));
    RouteNetlinkMessage::DelLink(message)
}

/// `ip link set LINK up`
pub(in crate::kernel) fn link_up(index: u32) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    RouteNetlinkMessage::SetLink(message)
}

/// `ip addr add ADDRESS dev LINK`
pub(in crate::kernel) fn add_address(index: u32, address: Ipv4Net) -> RouteNetlinkMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = address.prefix_len();
    message.header.index = index;
    message.attributes = vec![
        AddressAttribute::Local(IpAddr::V4(address.addr())),
        AddressAttribute::Address(IpAddr::V4(address.addr())),
    ];
    // Two addresses are a link between two hosts, without one for all (RFC 3021).
    if address.prefix_len() < 31 {
        message
            .attributes
            .push(AddressAttribute::Broadcast(address.broadcast()));
    }
    RouteNetlinkMessage::NewAddress(message)
}

/// `ip route add DESTINATION via GATEWAY [metric METRIC]`
pub(in crate::kernel) fn add_route(
    destination: Ipv4Net,
    via: Ipv4Addr,
    metric: Option<u32>,
) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: AddressFamily::Inet,
        destination_prefix_length: destination.prefix_len(),
        table: RouteHeader::RT_TABLE_MAIN,
        protocol: RouteProtocol::Static,
        scope: RouteScope::Universe,
        kind: RouteType::Unicast,
        ..RouteHeader::default()
    };
    if destination.prefix_len() > 0 {
        message
            .attributes
            .push(RouteAttribute::Destination(RouteAddress::Inet(
                destination.network(),
            )));
    }
    message
        .attributes
        .push(RouteAttribute::Gateway(RouteAddress::Inet(via)));
    message
        .attributes
        .extend(metric.map(RouteAttribute::Priority));
    RouteNetlinkMessage::NewRoute(message)
}

/// `ip route show table all`, of IPv4
pub(in crate::kernel) fn all_routes() -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    RouteNetlinkMessage::GetRoute(message)
}
