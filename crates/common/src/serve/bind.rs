//! Opening listeners.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::config::ListenAddr;

/// Connections that the kernel may hold for us.
const BACKLOG: i32 = 1024;

/// A listener that could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// No local address lies in a network of the list.
    #[error("cannot listen: this machine has no address inside {0:?}")]
    NoLocalAddress(ListenAddr),
    /// The kernel said no.
    #[error("cannot listen on {0}: {1}")]
    Io(SocketAddr, #[source] io::Error),
    /// The machine's addresses could not be read.
    #[error("cannot read this machine's addresses: {0}")]
    Interfaces(#[source] io::Error),
}

/// The addresses that a list means here and now.
pub fn resolve(listen: &[ListenAddr]) -> Result<Vec<SocketAddr>, BindError> {
    let local = local_addresses().map_err(BindError::Interfaces)?;
    let mut addresses = Vec::new();
    for entry in listen {
        let resolved = entry.resolve(&local);
        if resolved.is_empty() {
            return Err(BindError::NoLocalAddress(*entry));
        }
        addresses.extend(
            resolved
                .into_iter()
                .filter(|address| !addresses.contains(address))
                .collect::<Vec<_>>(),
        );
    }
    Ok(addresses)
}

/// Opens a listener for every address.
pub fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, BindError> {
    addresses
        .iter()
        .map(|address| open(*address, false).map_err(|error| BindError::Io(*address, error)))
        .collect()
}

/// Opens one of several listeners on the same address (`SO_REUSEPORT`, socket(7)): one per thread, the kernel spreads
/// connections among them. Open the first without (by [`bind`], dropped again) to learn that somebody else has the port.
pub fn bind_reuse_port(address: SocketAddr) -> Result<TcpListener, BindError> {
    open(address, true).map_err(|error| BindError::Io(address, error))
}

fn open(address: SocketAddr, reuse_port: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A restarted service takes its port back although connections of its predecessor are still in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Every address of every interface that is up, in this network namespace.
pub(crate) fn local_addresses() -> io::Result<Vec<IpAddr>> {
    let interfaces = nix::ifaddrs::getifaddrs().map_err(io::Error::from)?;
    Ok(interfaces
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address
                .as_sockaddr_in()
                .map(|address| IpAddr::V4(address.ip()));
            v4.or_else(|| {
                address
                    .as_sockaddr_in6()
                    .map(|address| IpAddr::V6(address.ip()))
            })
        })
        .collect())
}
