//! What is counted. Handles are made once an instance, a service and a route, so that a request only adds to them.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

/// Of one instance.
pub struct EndpointMeters {
    /// Exchanges running.
    pub in_flight: Gauge,
    /// Exchanges that brought an answer, whatever its status.
    pub answered: Counter,
    /// Exchanges that failed in transport.
    pub failed: Counter,
    /// From the start of a try to its answer's head, in seconds.
    pub seconds: Histogram,
}

impl EndpointMeters {
    /// Handles for an instance of a service.
    #[must_use]
    pub fn new(service: &str, instance: &str) -> Self {
        let labels = [
            ("service", service.to_owned()),
            ("instance", instance.to_owned()),
        ];
        let exchanges = |outcome: &'static str| counter!("gateway_upstream_exchanges_total", "service" => service.to_owned(), "instance" => instance.to_owned(), "outcome" => outcome);
        Self {
            in_flight: gauge!("gateway_upstream_in_flight", &labels),
            answered: exchanges("answered"),
            failed: exchanges("failed"),
            seconds: histogram!("gateway_upstream_seconds", &labels),
        }
    }
}

/// Of one service.
#[derive(Debug)]
pub struct ClusterMeters {
    /// Tries beyond the first.
    pub retries: Counter,
    /// Retries that were wanted and not made for want of budget.
    pub retries_denied: Counter,
    /// Ejections.
    pub ejections: Counter,
}

impl ClusterMeters {
    /// Handles for a service.
    #[must_use]
    pub fn new(service: &'static str) -> Self {
        Self {
            retries: counter!("gateway_retries_total", "service" => service),
            retries_denied: counter!("gateway_retries_denied_total", "service" => service),
            ejections: counter!("gateway_ejections_total", "service" => service),
        }
    }
}

/// Of one route (and of what has none).
#[derive(Debug)]
pub struct RouteMeters {
    /// Answers by the status's first digit, 1 to 5.
    answers: [Counter; 5],
    seconds: Histogram,
}

impl RouteMeters {
    /// Handles for a route's template.
    #[must_use]
    pub fn new(route: &'static str) -> Self {
        let answers = ["1xx", "2xx", "3xx", "4xx", "5xx"];
        Self {
            answers: answers.map(
                |class| counter!("gateway_requests_total", "route" => route, "status" => class),
            ),
            seconds: histogram!("gateway_request_seconds", "route" => route),
        }
    }

    /// Counts an answer that took `seconds` from the request's head to its own.
    pub fn answered(&self, status: http::StatusCode, seconds: f64) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        self.answers[class].increment(1);
        self.seconds.record(seconds);
    }
}
