//! Which of our addresses to advertise.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use ipnet::IpNet;

/// No address, or too many.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// None inside `ADVERTISE_CIDR`.
    #[error("ADVERTISE_CIDR: this machine has no address inside {0}")]
    None(IpNet),
    /// Several inside `ADVERTISE_CIDR`.
    #[error(
        "ADVERTISE_CIDR: {0} holds several of this machine's addresses ({1:?}); narrow it down"
    )]
    Ambiguous(IpNet, Vec<IpAddr>),
    /// The kernel said no.
    #[error("cannot find the address to advertise: {0}")]
    Io(#[from] io::Error),
}

/// The address inside `network` if there is one, else the local address of a route to `registry`.
pub(crate) fn advertised(
    network: Option<IpNet>,
    registry: SocketAddr,
) -> Result<IpAddr, AddressError> {
    match network {
        Some(network) => inside(network, &crate::serve::local_addresses()?),
        None => Ok(local_address_towards(registry)?),
    }
}

fn inside(network: IpNet, local: &[IpAddr]) -> Result<IpAddr, AddressError> {
    let mut matching: Vec<IpAddr> = local
        .iter()
        .copied()
        .filter(|address| network.contains(address))
        .collect();
    matching.sort_unstable();
    matching.dedup();
    match matching[..] {
        [] => Err(AddressError::None(network)),
        [address] => Ok(address),
        _ => Err(AddressError::Ambiguous(network, matching)),
    }
}

/// Connecting a UDP socket sends nothing and makes the kernel choose the source address (connect(2), ip(7)).
fn local_address_towards(target: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = if target.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(target)?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_inside_the_network_is_taken_and_several_are_refused() {
        let local: Vec<IpAddr> = ["127.0.0.1", "172.21.0.130", "172.22.0.7", "172.21.0.130"]
            .map(|a| a.parse().unwrap())
            .into();
        assert_eq!(
            inside("172.21.0.0/24".parse().unwrap(), &local).unwrap(),
            local[1]
        );
        assert!(matches!(
            inside("10.0.0.0/8".parse().unwrap(), &local),
            Err(AddressError::None(_))
        ));
        assert!(
            matches!(inside("172.16.0.0/12".parse().unwrap(), &local), Err(AddressError::Ambiguous(_, two)) if two.len() == 2)
        );
    }

    #[test]
    fn by_default_the_route_to_the_registry_decides() {
        assert_eq!(
            advertised(None, "127.0.0.1:8500".parse().unwrap()).unwrap(),
            IpAddr::from([127, 0, 0, 1])
        );
    }
}
