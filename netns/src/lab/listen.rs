//! The host's side of published ports: sockets opened in the host's network namespace, before the lab has one of its own.
//!
//! A socket stays in the namespace in which it was created, so the lab's first process, which inherits these, accepts the host's
//! connections without being in the host's network.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket,
    sockopt,
};

use crate::compose::{Diagnostic, Port, Project, Span};
use crate::doctor::listener;
use crate::plan::{On, Plan};

/// Connections that wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// A port of the host that has been taken for the lab, not listened on yet.
#[derive(Debug)]
pub struct Reserved {
    /// Index in the plan's published ports.
    pub publish: usize,
    socket: OwnedFd,
}

/// Reserves every published port, so that a port that is taken is found before anything is touched.
///
/// # Errors
/// One diagnostic for each port that cannot be had.
pub fn reserve(project: &Project, plan: &Plan) -> Result<Vec<Reserved>, Vec<Diagnostic>> {
    let mut reserved = Vec::new();
    let mut problems = Vec::new();
    for (publish, port) in plan.publish.iter().enumerate() {
        match bound(port.host_ip, port.host_port) {
            Ok(socket) => reserved.push(Reserved { publish, socket }),
            Err(error) => problems.push(problem(project, port.on(), port.at, &error)),
        }
    }
    if problems.is_empty() {
        Ok(reserved)
    } else {
        Err(problems)
    }
}

/// Listens on further ports, for a lab that runs.
///
/// # Errors
/// One diagnostic for each port that cannot be had.
pub fn listen_on(
    project: &Project,
    ports: &[&Port],
) -> Result<Vec<(On, TcpListener)>, Vec<Diagnostic>> {
    let listening = ports.iter().map(|port| {
        let on = (port.host_ip, port.host_port);
        let reserved = bound(on.0, on.1).map(|socket| Reserved { publish: 0, socket });
        reserved
            .and_then(Reserved::listen)
            .map(|socket| (on, socket))
            .map_err(|error| problem(project, on, port.at, &error))
    });
    let (had, refused): (Vec<_>, Vec<_>) = listening.partition(Result::is_ok);
    let problems: Vec<Diagnostic> = refused.into_iter().filter_map(Result::err).collect();
    if problems.is_empty() {
        Ok(had.into_iter().flatten().collect())
    } else {
        Err(problems)
    }
}

fn problem(project: &Project, on: On, at: Span, error: &io::Error) -> Diagnostic {
    let (_, port) = on;
    let reason = reason(error, port);
    Diagnostic::new(
        &project.sources,
        at,
        format!("port {port} of this host cannot be had: {reason}"),
        remedy(error),
    )
}

impl Reserved {
    /// Begins to listen.
    ///
    /// # Errors
    /// When somebody else has begun to listen on the port since it was reserved.
    pub fn listen(self) -> io::Result<TcpListener> {
        listen(&self.socket, Backlog::new(BACKLOG)?)?;
        Ok(TcpListener::from(self.socket))
    }
}

fn bound(host_ip: Option<IpAddr>, port: u16) -> io::Result<OwnedFd> {
    match host_ip {
        Some(address) => bound_to(SocketAddr::new(address, port)),
        // One socket for both families; a machine without IPv6 has the other one only.
        None => match bound_to(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)) {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                bound_to(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port))
            }
            result => result,
        },
    }
}

fn bound_to(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    // Old connections in TIME_WAIT do not hold the port; a listener still does.
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    if address.is_ipv6() {
        setsockopt(
            &socket,
            sockopt::Ipv6V6Only,
            &!address.ip().is_unspecified(),
        )?;
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    Ok(socket)
}

fn reason(error: &io::Error, port: u16) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => match listener(port) {
            Some(listener) => format!("{listener} listens on it"),
            None => "another program has taken it".to_owned(),
        },
        io::ErrorKind::PermissionDenied => "ports below 1024 are for root".to_owned(),
        io::ErrorKind::AddrNotAvailable => "the host has no such address".to_owned(),
        _ => error.to_string(),
    }
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "stop it, or publish another port (the shop's are HTTP_PORT, GATEWAY_PORT and ADMIN_PORT, in the environment or .env)"
        }
        _ => "publish another port or address",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_listened_on_is_refused_in_either_family() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        for host_ip in [
            None,
            Some(Ipv4Addr::LOCALHOST.into()),
            Some(Ipv4Addr::UNSPECIFIED.into()),
        ] {
            assert_eq!(
                bound(host_ip, port).unwrap_err().kind(),
                io::ErrorKind::AddrInUse,
                "{host_ip:?}"
            );
        }
        drop(taken);
        let socket = Reserved {
            publish: 0,
            socket: bound(None, port).unwrap(),
        };
        let listener = socket.listen().unwrap();
        assert_eq!(listener.local_addr().unwrap().port(), port);
    }
}
