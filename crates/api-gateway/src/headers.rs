//! Which header fields cross the gateway, and which it writes itself.

use std::net::IpAddr;

use common::http_layer::X_REQUEST_ID;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

/// A client's key that makes a request safe to repeat.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The address the gateway was called from.
pub const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The scheme the gateway was called by.
pub const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The name the gateway was called by.
pub const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Fields that speak about one connection (RFC 9110, 7.6.1), besides those that `Connection` names. `Expect` is answered here.
static HOP_BY_HOP: [HeaderName; 10] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::EXPECT,
];

/// Fields by which proxies describe a client. Nobody in front of the gateway is trusted, so a client's own are dropped.
static UNTRUSTED: [HeaderName; 6] = [
    header::FORWARDED,
    FORWARDED_FOR,
    FORWARDED_PROTO,
    FORWARDED_HOST,
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-real-ip"),
];

/// Drops the fields that end at this hop.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok())
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Makes a client's fields an upstream request's: hop-by-hop dropped, forwarding stated by the gateway alone.
///
/// The caller sets `Host`, the request id and the trace context afterwards.
pub fn to_upstream(headers: &mut HeaderMap, peer: IpAddr, host: Option<HeaderValue>) {
    strip_hop_by_hop(headers);
    for name in &UNTRUSTED {
        headers.remove(name);
    }
    if let Ok(peer) =
        HeaderValue::from_maybe_shared(bytes::Bytes::from(peer.to_canonical().to_string()))
    {
        headers.insert(FORWARDED_FOR, peer);
    }
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    if let Some(host) = host {
        headers.insert(FORWARDED_HOST, host);
    }
}

/// Makes an upstream's fields a client's: hop-by-hop dropped, and no length where no body can be (RFC 9110, 8.6).
pub fn to_client(headers: &mut HeaderMap, status: StatusCode) {
    strip_hop_by_hop(headers);
    if status == StatusCode::NO_CONTENT || status.is_informational() {
        headers.remove(header::CONTENT_LENGTH);
    }
}

/// A request that names no host, several, or something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadHost;

/// The host a request names: its target's authority, else its only `Host`.
///
/// # Errors
/// [`BadHost`] when it names none, several, or one that is no authority (RFC 9112, 3.2: 400).
pub fn host(
    uri: &http::Uri,
    headers: &HeaderMap,
    required: bool,
) -> Result<Option<HeaderValue>, BadHost> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let first = hosts.next();
    if hosts.next().is_some() || (first.is_none() && required) {
        return Err(BadHost);
    }
    if let Some(authority) = uri.authority() {
        return HeaderValue::from_str(authority.as_str())
            .map(Some)
            .map_err(|_| BadHost);
    }
    match first {
        Some(host) if !host.is_empty() => {
            let authority = http::uri::Authority::try_from(host.as_bytes()).map_err(|_| BadHost)?;
            if authority.as_str().contains('@') {
                Err(BadHost)
            } else {
                Ok(Some(host.clone()))
            }
        }
        _ => Ok(None),
    }
}

/// The client's request id when it is 1 to 64 visible ASCII characters, and the only one.
#[must_use]
pub fn request_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut ids = headers.get_all(X_REQUEST_ID).iter();
    let id = ids.next().filter(|id| {
        (1..=64).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
    })?;
    ids.next().is_none().then(|| id.clone())
}

/// Whether the client keyed the request, so that the owner recognises a second copy.
#[must_use]
pub fn is_keyed(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::POST
        && headers
            .get(IDEMPOTENCY_KEY)
            .is_some_and(|key| !key.is_empty())
}

/// The size of a header section in bytes, as HTTP/2 counts it without its overhead: names and values.
#[must_use]
pub fn size(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        headers
    }

    #[test]
    fn hop_by_hop_fields_end_here_with_those_connection_names() {
        let mut headers = map(&[
            ("connection", "close, X-Private"),
            ("connection", "keep-alive,,x-other"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("upgrade", "websocket"),
            ("transfer-encoding", "chunked"),
            ("proxy-connection", "keep-alive"),
            ("expect", "100-continue"),
            ("x-private", "1"),
            ("x-other", "2"),
            ("x-kept", "3"),
        ]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("x-kept", "3")]));
    }

    #[test]
    fn a_client_cannot_say_where_it_comes_from() {
        let mut headers = map(&[
            ("connection", "x-forwarded-for"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-for", "10.0.0.2"),
            ("x-forwarded-host", "bank"),
            ("x-forwarded-proto", "https"),
            ("forwarded", "for=10.0.0.1"),
            ("x-real-ip", "10.0.0.1"),
        ]);
        to_upstream(
            &mut headers,
            "::ffff:192.0.2.7".parse().unwrap(),
            Some(HeaderValue::from_static("shop")),
        );
        assert_eq!(
            headers,
            map(&[
                ("x-forwarded-for", "192.0.2.7"),
                ("x-forwarded-proto", "http"),
                ("x-forwarded-host", "shop")
            ])
        );
    }

    #[test]
    fn no_content_has_no_length() {
        let mut headers = map(&[("content-length", "3"), ("etag", "x")]);
        to_client(&mut headers, StatusCode::NO_CONTENT);
        assert_eq!(headers, map(&[("etag", "x")]));
        let mut headers = map(&[("content-length", "3")]);
        to_client(&mut headers, StatusCode::NOT_MODIFIED);
        assert_eq!(headers.len(), 1);
    }

    #[test]
    fn a_request_names_one_host() {
        let origin: http::Uri = "/x".parse().unwrap();
        let absolute: http::Uri = "http://target/x".parse().unwrap();
        assert_eq!(
            host(&origin, &map(&[("host", "a:1")]), true),
            Ok(Some(HeaderValue::from_static("a:1")))
        );
        assert_eq!(
            host(&absolute, &map(&[("host", "a")]), true),
            Ok(Some(HeaderValue::from_static("target")))
        );
        assert_eq!(host(&origin, &map(&[("host", "")]), true), Ok(None));
        assert_eq!(host(&origin, &map(&[]), false), Ok(None));
        for bad in [
            map(&[]),
            map(&[("host", "a"), ("host", "a")]),
            map(&[("host", "a b")]),
            map(&[("host", "u@a")]),
        ] {
            assert_eq!(host(&origin, &bad, true), Err(BadHost), "{bad:?}");
        }
    }

    #[test]
    fn request_ids_are_one_to_64_visible_characters() {
        assert_eq!(
            request_id(&map(&[("x-request-id", "a-1")])),
            Some(HeaderValue::from_static("a-1"))
        );
        assert_eq!(request_id(&map(&[("x-request-id", "a b")])), None);
        assert_eq!(request_id(&map(&[("x-request-id", "")])), None);
        assert_eq!(
            request_id(&map(&[("x-request-id", "a"), ("x-request-id", "b")])),
            None
        );
        let mut long = HeaderMap::new();
        long.insert(X_REQUEST_ID, "x".repeat(65).parse().unwrap());
        assert_eq!(request_id(&long), None);
    }

    proptest! {
        #[test]
        fn nothing_hop_by_hop_survives(names in prop::collection::vec("[a-zA-Z-]{1,12}", 0..6), fields in prop::collection::vec("[a-z-]{1,12}", 0..6)) {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONNECTION, names.join(", ").parse().unwrap());
            for name in names.iter().chain(&fields) {
                headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("v"));
            }
            strip_hop_by_hop(&mut headers);
            for name in &names {
                prop_assert!(!headers.contains_key(name.as_str()));
            }
            prop_assert!(HOP_BY_HOP.iter().all(|name| !headers.contains_key(name)));
        }
    }
}
