//! W3C Trace Context (Recommendation of 23 November 2021): passed on with a span of our own, or begun.

use common::http_layer::{TRACEPARENT, TraceParent};
use http::HeaderMap;
use http::header::HeaderName;

/// What vendors add to `traceparent`; meaningless without the one it came with.
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Makes a caller's trace context an upstream request's: a new span in the caller's trace when that is valid, else a new trace.
pub fn pass_on(headers: &mut HeaderMap) {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let caller = match (values.next(), values.next()) {
        (Some(value), None) => TraceParent::parse(value.as_bytes()),
        _ => None,
    };
    let own = caller.map(TraceParent::child).unwrap_or_else(|| {
        headers.remove(TRACESTATE);
        TraceParent::begin()
    });
    headers.insert(TRACEPARENT, own.header());
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn passed_on(parents: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(TRACESTATE, HeaderValue::from_static("vendor=1"));
        for parent in parents {
            headers.append(TRACEPARENT, HeaderValue::from_static(parent));
        }
        pass_on(&mut headers);
        headers
    }

    #[test]
    fn a_valid_trace_goes_on_with_a_new_span() {
        let headers = passed_on(&[VALID]);
        let parent = headers[TRACEPARENT].to_str().unwrap();
        assert!(
            parent.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && parent.ends_with("-01"),
            "{parent}"
        );
        assert_ne!(parent, VALID);
        assert_eq!(headers[TRACESTATE], "vendor=1");
    }

    #[test]
    fn an_unusable_one_is_replaced_with_its_state() {
        for parents in [&[][..], &["nonsense"], &[VALID, VALID]] {
            let headers = passed_on(parents);
            assert!(TraceParent::parse(headers[TRACEPARENT].as_bytes()).is_some());
            assert_eq!(headers.get_all(TRACEPARENT).iter().count(), 1);
            assert!(
                !headers[TRACEPARENT]
                    .to_str()
                    .unwrap()
                    .contains("4bf92f3577b34da6a3ce929d0e0e4736")
            );
            assert!(!headers.contains_key(TRACESTATE));
        }
    }
}
