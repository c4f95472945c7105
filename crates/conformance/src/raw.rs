//! Requests byte by byte, for what a well-behaved HTTP client will not send.

use anyhow::{Context, Result, ensure};
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{Answer, shop::Fields};

/// Sends a request with the target exactly as given and reads the answer until the server closes the connection.
///
/// `content-length` is added for a body unless the caller gave that field or `transfer-encoding`.
pub(crate) async fn send(
    base: &Url,
    method: &str,
    target: &str,
    fields: Fields<'_>,
    body: &[u8],
) -> Result<Answer> {
    let host = base.host_str().context("a host")?;
    let port = base.port_or_known_default().context("a port")?;
    let mut request =
        format!("{method} {target} HTTP/1.1\r\nhost: {host}:{port}\r\nconnection: close\r\n")
            .into_bytes();
    for (name, value) in fields {
        request.extend(format!("{name}: {value}\r\n").bytes());
    }
    let framed = fields
        .iter()
        .any(|(name, _)| ["content-length", "transfer-encoding"].contains(name));
    if !body.is_empty() && !framed {
        request.extend(format!("content-length: {}\r\n", body.len()).bytes());
    }
    request.extend(b"\r\n");
    request.extend(body);

    let (mut reader, mut writer) = TcpStream::connect((host, port)).await?.into_split();
    let mut answer = Vec::new();
    // A server that refuses a large body answers while it is still being sent, so read and write at once; and what has been
    // read counts, however the connection ends.
    let sending = async {
        let _ = writer.write_all(&request).await;
        std::future::pending::<()>().await;
    };
    let reading = async {
        while reader
            .read_buf(&mut answer)
            .await
            .is_ok_and(|length| length > 0)
        {}
    };
    tokio::select! {
        () = sending => {}
        () = reading => {}
    }
    let shown: String = format!("{method} {target}").chars().take(120).collect();
    parse(shown, &answer)
}

fn parse(request: String, bytes: &[u8]) -> Result<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.with_context(|| {
        format!(
            "{request}: no whole answer, but {:?}",
            String::from_utf8_lossy(bytes)
        )
    })?;
    let head = std::str::from_utf8(&bytes[..end])?;
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    let code = status
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .with_context(|| format!("{request}: {status}"))?;
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line
            .split_once(':')
            .with_context(|| format!("{request}: the header line {line:?}"))?;
        headers.append(
            HeaderName::try_from(name)?,
            HeaderValue::try_from(value.trim())?,
        );
    }
    let mut body = bytes[end + 4..].to_vec();
    if headers.get("transfer-encoding").is_some() {
        body = dechunk(&body).with_context(|| format!("{request}: a broken chunked body"))?;
    }
    Ok(Answer {
        request,
        code,
        headers,
        body,
    })
}

/// The body of a chunked transfer (RFC 9112, section 7.1).
fn dechunk(mut bytes: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = bytes
            .windows(2)
            .position(|two| two == b"\r\n")
            .context("no chunk size")?;
        let size = std::str::from_utf8(&bytes[..line])?
            .split(';')
            .next()
            .unwrap_or_default();
        let size = usize::from_str_radix(size.trim(), 16)?;
        bytes = &bytes[line + 2..];
        if size == 0 {
            return Ok(body);
        }
        ensure!(bytes.len() >= size + 2, "cut short");
        body.extend(&bytes[..size]);
        bytes = &bytes[size + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_plain_and_chunked_answers() {
        let answer = parse("GET /".into(), b"HTTP/1.1 200 OK\r\nx: y\r\n\r\nbody").unwrap();
        assert_eq!(
            (answer.code, answer.header("x"), &*answer.body),
            (200, Some("y"), b"body".as_slice())
        );
        let chunked = b"HTTP/1.1 400 Bad\r\ntransfer-encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        assert_eq!(parse("GET /".into(), chunked).unwrap().body, b"abcde");
        parse("GET /".into(), b"HTTP/1.1 200").unwrap_err();
    }
}
