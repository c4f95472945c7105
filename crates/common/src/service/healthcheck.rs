//! The `healthcheck` subcommand: images without a shell and sandboxes without tools ask the service itself.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::{BoxError, Service};
use crate::config::Base;
use crate::serve;

/// Asks `/started` of the running service, as a container's health check: no runtime, no client library.
pub(super) fn healthcheck(service: Service, base: &Base) -> Result<(), BoxError> {
    let listen = match service.admin_port {
        Some(port) => base.admin.listen_or(port),
        None => base.http.listen_or(service.port),
    };
    serve::resolve(&listen)
        .map_err(BoxError::from)
        .and_then(|addresses| {
            let address = addresses
                .first()
                .copied()
                .ok_or("there is no address to ask")?;
            ask(reachable(address), "/started")
        })
}

/// A wildcard address is reached by loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => (Ipv4Addr::LOCALHOST, v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, v6.port()).into(),
        other => other,
    }
}

fn ask(address: SocketAddr, path: &str) -> Result<(), BoxError> {
    let timeout = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.take(64 * 1024).read_to_end(&mut answer)?;
    let status = answer
        .split(|byte| *byte == b'\r')
        .next()
        .unwrap_or_default();
    if status.starts_with(b"HTTP/1.1 200") {
        Ok(())
    } else {
        Err(format!("{path} answered {:?}", String::from_utf8_lossy(status)).into())
    }
}
