//! A request's identity across services: its id and its place in a trace (W3C Trace Context, level 1).

use std::future::Future;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::clock;

/// The request's id, the client's own if it is 1 to 64 visible ASCII characters.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The trace's position.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

tokio::task_local! {
    static CURRENT: RequestContext;
}

/// A request's id and trace position; cheap to clone. Extract it with `Extension<RequestContext>`.
#[derive(Debug, Clone)]
pub struct RequestContext {
    request_id: Arc<str>,
    trace: TraceParent,
}

impl RequestContext {
    /// From a request's headers; what is missing or unusable is made new.
    pub fn of(headers: &HeaderMap) -> Self {
        let given = headers
            .get(X_REQUEST_ID)
            .and_then(|value| value.to_str().ok());
        let usable = given.filter(|id| {
            matches!(id.len(), 1..=64) && id.bytes().all(|byte| byte.is_ascii_graphic())
        });
        let request_id = usable.map_or_else(|| Arc::from(clock::uuid_v7().to_string()), Arc::from);
        let mut traces = headers.get_all(TRACEPARENT).iter();
        let trace = match (traces.next(), traces.next()) {
            (Some(value), None) => TraceParent::parse(value.as_bytes()).map(TraceParent::child),
            _ => None, // several are as good as none (section 3.2.1)
        };
        Self {
            request_id,
            trace: trace.unwrap_or_else(TraceParent::begin),
        }
    }

    /// The context of the request that this task is answering.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// The request's id.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// Our own place in the trace.
    pub fn trace(&self) -> TraceParent {
        self.trace
    }

    /// Writes both headers, for a call to another service. `tracestate` and the like pass through as they are.
    pub fn write(&self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::from_str(&self.request_id) {
            headers.insert(X_REQUEST_ID, value);
        }
        headers.insert(TRACEPARENT, self.trace.header());
    }

    /// Makes this the [`current`](Self::current) context of `work`.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }
}

/// Version 00 of `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    trace_id: u128,
    span_id: u64,
    flags: u8,
}

impl TraceParent {
    /// A new, sampled trace.
    pub fn begin() -> Self {
        Self {
            trace_id: clock::random_u128().max(1),
            span_id: clock::random_u64().max(1),
            flags: 1,
        }
    }

    /// The same trace, with a span of our own.
    pub fn child(self) -> Self {
        Self {
            span_id: clock::random_u64().max(1),
            ..self
        }
    }

    /// Reads a header's value. Later versions are read as 00 as far as they go; invalid ones are `None` (section 3.2.2).
    pub fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let (version, rest) = (text.get(..2)?, text.get(55..)?);
        let well_formed = match version {
            "00" => rest.is_empty(),
            "ff" => false,
            _ => is_hex(version) && (rest.is_empty() || rest.starts_with('-')),
        };
        let mut parts = text.get(3..55)?.split('-');
        let (trace_id, span_id, flags) = (parts.next()?, parts.next()?, parts.next()?);
        let lengths = (trace_id.len(), span_id.len(), flags.len()) == (32, 16, 2);
        let separated = text.as_bytes()[2] == b'-' && parts.next().is_none();
        if !(well_formed
            && lengths
            && separated
            && [trace_id, span_id, flags].into_iter().all(is_hex))
        {
            return None;
        }
        let parsed = Self {
            trace_id: u128::from_str_radix(trace_id, 16).ok()?,
            span_id: u64::from_str_radix(span_id, 16).ok()?,
            flags: u8::from_str_radix(flags, 16).ok()?,
        };
        (parsed.trace_id != 0 && parsed.span_id != 0).then_some(parsed)
    }

    /// The header's value.
    pub fn header(self) -> HeaderValue {
        let text = format!(
            "00-{:032x}-{:016x}-{:02x}",
            self.trace_id, self.span_id, self.flags
        );
        HeaderValue::from_str(&text)
            .expect("hexadecimal digits and dashes are a valid header value")
    }

    /// The trace's id as logs and tracing systems show it.
    pub fn trace_id_hex(self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_trace_goes_on_with_a_span_of_our_own() {
        let given = TraceParent::parse(EXAMPLE.as_bytes()).unwrap();
        assert_eq!(given.header(), EXAMPLE);
        let child = given.child();
        assert_eq!((child.trace_id, child.flags), (given.trace_id, given.flags));
        assert_ne!(child.span_id, given.span_id);
        assert_eq!(
            TraceParent::parse(b"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"),
            Some(given)
        );
    }

    #[test]
    fn unusable_headers_begin_anew() {
        for bad in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
            "00-0af7651916cd43dd8448eb211c8031-9c-b7ad6b7169203331-1",
        ] {
            assert_eq!(TraceParent::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_usable_request_id_is_kept() {
        let of = |id: &str| {
            let headers = HeaderMap::from_iter([(
                X_REQUEST_ID,
                HeaderValue::from_bytes(id.as_bytes()).unwrap(),
            )]);
            RequestContext::of(&headers).request_id().to_owned()
        };
        assert_eq!(of("abc-1"), "abc-1");
        for unusable in ["", "with space", &"x".repeat(65), "ümlaut"] {
            assert_ne!(of(unusable), unusable);
        }
    }
}
