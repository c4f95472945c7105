//! Dialling back: one `GET`, of which only the status line matters. No redirects are followed and no body is read: what
//! registers must not make the registry talk to anything else.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than any status line that concerns us.
const MAX_STATUS_LINE: usize = 256;

/// Whether `GET http://<address><path>` is answered with 2xx within `timeout`.
pub async fn probe(address: SocketAddr, path: &str, timeout: Duration) -> bool {
    match tokio::time::timeout(timeout, status(address, path)).await {
        Ok(Ok(200..=299)) => true,
        Ok(Ok(status)) => {
            tracing::debug!(%address, path, status, "probe refused");
            false
        }
        Ok(Err(error)) => {
            tracing::debug!(%address, path, %error, "probe failed");
            false
        }
        Err(_) => {
            tracing::debug!(%address, path, "probe took too long");
            false
        }
    }
}

async fn status(address: SocketAddr, path: &str) -> io::Result<u16> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nuser-agent: service-registry\r\naccept: */*\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut line = [0; MAX_STATUS_LINE];
    let mut length = 0;
    while length < line.len() && !line[..length].contains(&b'\n') {
        match stream.read(&mut line[length..]).await? {
            0 => break,
            read => length += read,
        }
    }
    parse_status(&line[..length])
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an HTTP answer"))
}

/// RFC 9112, section 4.
fn parse_status(line: &[u8]) -> Option<u16> {
    let rest = line
        .strip_prefix(b"HTTP/1.1 ")
        .or_else(|| line.strip_prefix(b"HTTP/1.0 "))?;
    let (digits, after) = rest.split_at_checked(3)?;
    let ends = matches!(after.first(), Some(b' ' | b'\r' | b'\n'));
    let all_digits = digits.iter().all(u8::is_ascii_digit);
    (ends && all_digits).then(|| {
        digits
            .iter()
            .fold(0, |status, digit| status * 10 + u16::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_status_line_is_one() {
        assert_eq!(parse_status(b"HTTP/1.1 200 OK\r\n"), Some(200));
        assert_eq!(parse_status(b"HTTP/1.0 503\r\n"), Some(503));
        for bad in [
            &b"HTTP/1.1 2000\r\n"[..],
            b"HTTP/2 200 OK",
            b"SSH-2.0-x",
            b"HTTP/1.1 20",
            b"",
            b"HTTP/1.1 2x0 ",
        ] {
            assert_eq!(parse_status(bad), None);
        }
    }
}
