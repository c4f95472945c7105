//! A request on its way to whichever instance.

use http::header::HOST;
use http::{HeaderMap, Method, Request, Uri};

use crate::endpoint::Endpoint;
use crate::upload::UpstreamBody;

/// A request as it goes to whichever instance; `Host` is set for each.
#[derive(Debug)]
pub struct Outgoing {
    /// The method.
    pub method: Method,
    /// Path and query, the upstream's spelling.
    pub uri: Uri,
    /// End-to-end fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: UpstreamBody,
}

impl Outgoing {
    /// Another one for another try; `None` when the body is not kept.
    pub(crate) fn copy(&self) -> Option<Self> {
        let body = self.body.copy()?;
        Some(Self {
            method: self.method.clone(),
            uri: self.uri.clone(),
            headers: self.headers.clone(),
            body,
        })
    }

    /// Bound for an instance.
    pub(crate) fn addressed(mut self, endpoint: &Endpoint) -> Request<UpstreamBody> {
        self.headers.insert(HOST, endpoint.authority().clone());
        let mut request = Request::new(self.body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        request
    }
}

impl From<Request<UpstreamBody>> for Outgoing {
    fn from(request: Request<UpstreamBody>) -> Self {
        let (parts, body) = request.into_parts();
        Self {
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
            body,
        }
    }
}
