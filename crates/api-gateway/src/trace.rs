//! W3C Trace Context (Recommendation of 23 November 2021): passed on with a span of our own, or begun.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

/// Where a request stands in a distributed trace.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What vendors add to it; meaningless without it.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// A position in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// Shared by all spans of the trace; never 0.
    pub trace_id: u128,
    /// The span that calls; never 0.
    pub span_id: u64,
    /// Bit 0: sampled.
    pub flags: u8,
}

impl Trace {
    /// Reads version 00, and later versions as far as 00 defines them. `None` when the value is not valid.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        if value.len() < 55 || ![2, 35, 52].iter().all(|&at| value[at] == b'-') {
            return None;
        }
        let version = u8::try_from(hex(&value[0..2])?).ok()?;
        let rest = &value[55..];
        if version == 0xff
            || (version == 0 && !rest.is_empty())
            || rest.first().is_some_and(|byte| *byte != b'-')
        {
            return None;
        }
        let trace = Self {
            trace_id: hex(&value[3..35])?,
            span_id: u64::try_from(hex(&value[36..52])?).ok()?,
            flags: u8::try_from(hex(&value[53..55])?).ok()?,
        };
        (trace.trace_id != 0 && trace.span_id != 0).then_some(trace)
    }

    /// The gateway's own position: below the caller's when the request has a valid one, else the root of a new, unsampled trace.
    /// `random` gives 64 bits at a time.
    pub fn continued(headers: &HeaderMap, mut random: impl FnMut() -> u64) -> (Self, Origin) {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let caller = match (values.next(), values.next()) {
            (Some(value), None) => Self::parse(value.as_bytes()),
            _ => None,
        };
        let span_id = random().max(1);
        match caller {
            // Of the flags only "sampled" has a meaning that may be passed on.
            Some(caller) => (
                Self {
                    span_id,
                    flags: caller.flags & 1,
                    ..caller
                },
                Origin::Caller,
            ),
            None => {
                let trace_id = (u128::from(random()) << 64 | u128::from(random())).max(1);
                (
                    Self {
                        trace_id,
                        span_id,
                        flags: 0,
                    },
                    Origin::Here,
                )
            }
        }
    }

    /// Writes it into an upstream's request; what a caller said of a trace that is not continued is dropped.
    pub fn write(&self, origin: Origin, headers: &mut HeaderMap) {
        if origin == Origin::Here {
            headers.remove(TRACESTATE);
        }
        let text = format!(
            "00-{:032x}-{:016x}-{:02x}",
            self.trace_id, self.span_id, self.flags
        );
        let value = HeaderValue::from_maybe_shared(bytes::Bytes::from(text))
            .expect("digits and dashes are a header value");
        headers.insert(TRACEPARENT, value);
    }
}

/// Where a trace began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The caller sent it.
    Caller,
    /// At the gateway.
    Here,
}

/// Lower-case hexadecimal only, as the recommendation demands.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(parent: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, parent.parse().unwrap());
        headers.insert(TRACESTATE, HeaderValue::from_static("vendor=1"));
        headers
    }

    #[test]
    fn a_valid_trace_goes_on_with_a_new_span() {
        let mut headers = headers(VALID);
        let (trace, origin) = Trace::continued(&headers, || 7);
        trace.write(origin, &mut headers);
        assert_eq!(
            headers[TRACEPARENT],
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000007-01"
        );
        assert_eq!(headers[TRACESTATE], "vendor=1");
    }

    #[test]
    fn an_invalid_one_is_replaced() {
        for invalid in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            let mut headers = headers(invalid);
            let (trace, origin) = Trace::continued(&headers, || 0);
            assert_eq!(origin, Origin::Here, "{invalid}");
            trace.write(origin, &mut headers);
            assert!(!headers.contains_key(TRACESTATE));
            assert_eq!(Trace::parse(headers[TRACEPARENT].as_bytes()), Some(trace));
        }
        assert!(
            Trace::parse(b"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more").is_some()
        );
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(trace_id in 1u128.., span_id in 1u64.., flags in 0u8..2) {
            let trace = Trace { trace_id, span_id, flags };
            let mut headers = HeaderMap::new();
            trace.write(Origin::Here, &mut headers);
            prop_assert_eq!(Trace::parse(headers[TRACEPARENT].as_bytes()), Some(trace));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Trace::parse(&bytes);
        }
    }
}
