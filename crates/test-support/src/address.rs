//! Addresses nobody else listens on.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// An address on the loopback interface that nothing listens on, and that nothing else will take before the caller binds it.
///
/// Asking the kernel for port 0 and closing the socket again is a race: the port may be handed to somebody else before the
/// server under test binds it. All of 127.0.0.0/8 is ours to listen on, so a random address of it together with a random port
/// below the ephemeral range (`ip_local_port_range` starts at 32768) is free in all but one of 10^11 cases, and stays ours
/// while a server is stopped and started again.
#[must_use]
pub fn free_address() -> SocketAddr {
    let bytes = uuid::Uuid::new_v4().into_bytes();
    // 127.1.x.x and up: the first addresses of the range are where people and packages put things.
    let ip = Ipv4Addr::new(127, 1 + bytes[0] % 254, bytes[1], 1 + bytes[2] % 254);
    let port = 20_000 + u16::from_be_bytes([bytes[3], bytes[4]]) % 12_000;
    SocketAddr::new(IpAddr::V4(ip), port)
}

/// A free address like [`free_address`], but on 127.0.0.1: for servers that find out their own address by asking the kernel,
/// which knows the loopback interface by that one alone.
#[must_use]
pub fn free_local_address() -> SocketAddr {
    loop {
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), free_address().port());
        // Ports are scarce on one address, so this one is tried; the caller binds it long before anybody draws it again.
        if std::net::TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_differ_and_can_be_bound() {
        let (one, two) = (free_address(), free_address());
        assert_ne!(one, two);
        assert!(one.ip().is_loopback() && one.port() < 32_768);
        std::net::TcpListener::bind(one).unwrap();
        std::net::TcpListener::bind(free_local_address()).unwrap();
    }
}
