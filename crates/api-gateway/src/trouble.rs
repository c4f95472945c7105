//! The gateway's own errors, and the one place that turns them into answers. What a client reads here never names an address or a cause.

use common::problem::{Problem, Slug};
use http::header::{ALLOW, CACHE_CONTROL, HeaderValue};
use http::{Method, Response};

use crate::body::BodyFault;
use crate::download::ClientBody;
use crate::path::PathError;
use crate::routes::Refusal;

/// Why the gateway answers itself.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The request target has no single reading.
    #[error("{0}")]
    BadPath(PathError),
    /// The request names no host, or more than one.
    #[error("a request names exactly one valid host")]
    BadHost,
    /// The request's body was cut short.
    #[error("the request body was cut short")]
    BodyBroken,
    /// No route.
    #[error("nothing is served at this path")]
    NotFound,
    /// No resource of the route answers the method.
    #[error("this path never answers that method")]
    MethodNotAllowed(&'static [Method]),
    /// The body stopped coming.
    #[error("the request body did not arrive in time")]
    BodySlow,
    /// The body is too long.
    #[error("the request body is longer than {0} bytes")]
    BodyTooLarge(usize),
    /// The request target is too long.
    #[error("the request target is longer than {0} bytes")]
    TargetTooLong(usize),
    /// Too many header fields, or too long.
    #[error("the request has more than {0} header fields, or more than {1} bytes of them")]
    HeadersTooLarge(usize, usize),
    /// The exchange broke after the request was sent.
    #[error("{0} broke off before it answered; whether it acted on the request is not known")]
    NoAnswer(&'static str),
    /// Nobody serves the route now, or none of those who do can be reached. The request was not sent.
    #[error("{0} is not available; the request was not sent")]
    Unavailable(&'static str),
    /// A deadline passed.
    #[error("{0} did not answer in time; whether it acted on the request is not known")]
    Deadline(&'static str),
}

impl Trouble {
    fn slug(&self) -> Slug {
        match self {
            Self::BadPath(_) | Self::BadHost | Self::BodyBroken => Slug::Malformed,
            Self::NotFound => Slug::NotFound,
            Self::MethodNotAllowed(_) => Slug::MethodNotAllowed,
            Self::BodySlow => Slug::RequestTimeout,
            Self::BodyTooLarge(_) => Slug::BodyTooLarge,
            Self::TargetTooLong(_) => Slug::UriTooLong,
            Self::HeadersTooLarge(..) => Slug::HeadersTooLarge,
            Self::NoAnswer(_) => Slug::BadGateway,
            Self::Unavailable(_) => Slug::Unavailable,
            Self::Deadline(_) => Slug::GatewayTimeout,
        }
    }

    /// What the fault of a request's body means to its sender.
    #[must_use]
    pub fn of_body(fault: BodyFault, max: usize) -> Self {
        match fault {
            BodyFault::TooLarge => Self::BodyTooLarge(max),
            BodyFault::Slow => Self::BodySlow,
            BodyFault::Broken => Self::BodyBroken,
        }
    }

    /// The answer; `request_id` names the occurrence.
    #[must_use]
    pub fn answer(&self, request_id: &HeaderValue) -> Response<ClientBody> {
        let mut problem = Problem::new(self.slug()).detail(self.to_string());
        match self {
            Self::MethodNotAllowed(methods) => {
                let methods: Vec<_> = methods.iter().map(Method::as_str).collect();
                let allow = HeaderValue::from_str(&methods.join(", "))
                    .expect("method names are a header value");
                problem = problem.header(ALLOW, allow);
            }
            Self::Unavailable(_) => problem = problem.retry_after(1),
            _ => {}
        }
        problem
            .header(CACHE_CONTROL, HeaderValue::from_static("no-store"))
            .to_response(request_id.to_str().ok())
            .map(ClientBody::Whole)
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::BadPath(error) => Self::BadPath(error),
            Refusal::NotFound => Self::NotFound,
            Refusal::MethodNotAllowed(methods) => Self::MethodNotAllowed(methods),
        }
    }
}
