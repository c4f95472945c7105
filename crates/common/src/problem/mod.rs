//! Errors as `application/problem+json` (RFC 9457). What a client may know (`detail`, `errors`) and what happened (the
//! cause) are different things: the cause is logged once, by the HTTP layer, and never sent.

mod extract;
mod object;
mod slug;

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Map, Value};

pub use self::extract::{JsonBody, PathParam, QueryParams};
pub use self::object::objects;
pub use self::slug::Slug;

/// One wrong place in a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// A JSON pointer (RFC 6901) into the body, or `/name` of a query or path parameter.
    pub pointer: String,
    /// What is wrong there.
    pub detail: String,
}

/// An answer that says no. Cheap to move; clones share the cause.
#[derive(Debug, Clone)]
pub struct Problem(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    slug: Slug,
    status: StatusCode,
    detail: Option<String>,
    errors: Vec<FieldError>,
    members: Map<String, Value>,
    headers: HeaderMap,
    cause: Option<Arc<dyn Error + Send + Sync>>,
}

impl Problem {
    /// A problem of this kind, with the kind's status.
    pub fn new(slug: Slug) -> Self {
        Self(Box::new(Parts {
            slug,
            status: slug.status(),
            detail: None,
            errors: Vec::new(),
            members: Map::new(),
            headers: HeaderMap::new(),
            cause: None,
        }))
    }

    /// 422 about one field.
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(Slug::Invalid).field(pointer, detail)
    }

    /// 500: the cause goes to the log, the client learns nothing of it.
    pub fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Slug::Internal).cause(cause)
    }

    /// 503 with `Retry-After` in seconds.
    pub fn unavailable(detail: impl Into<String>, retry_after: u64) -> Self {
        Self::new(Slug::Unavailable)
            .detail(detail)
            .retry_after(retry_after)
    }

    /// Says what happened, for the client's developer.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds a wrong field.
    pub fn field(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        self.0.errors.push(FieldError {
            pointer: pointer.into(),
            detail: detail.into(),
        });
        self
    }

    /// Adds a member of its own, `"short": [...]`.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.members.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// Adds `Retry-After`, in seconds.
    pub fn retry_after(self, seconds: u64) -> Self {
        self.header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// Adds the private cause.
    pub fn cause(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.cause = Some(Arc::from(cause.into()));
        self
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The kind.
    pub fn slug(&self) -> Slug {
        self.0.slug
    }

    /// The wrong fields.
    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// The complete answer. `instance` is the request's id; services leave that to the HTTP layer.
    pub fn to_response(&self, instance: Option<&str>) -> http::Response<Bytes> {
        let parts = &*self.0;
        let mut body = Map::new();
        body.insert(
            "type".into(),
            format!("urn:underlay:problem:{}", parts.slug.as_str()).into(),
        );
        body.insert("title".into(), parts.slug.title().into());
        body.insert("status".into(), parts.status.as_u16().into());
        if let Some(detail) = &parts.detail {
            body.insert("detail".into(), detail.as_str().into());
        }
        if let Some(instance) = instance {
            body.insert("instance".into(), instance.into());
        }
        if !parts.errors.is_empty() {
            body.insert("errors".into(), serde_json::json!(parts.errors));
        }
        body.extend(parts.members.clone());
        let mut response = http::Response::new(Bytes::from(Value::Object(body).to_string()));
        *response.status_mut() = parts.status;
        *response.headers_mut() = parts.headers.clone();
        let content_type = HeaderValue::from_static("application/problem+json");
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, content_type);
        response
    }

    /// Logs the cause, if there is one: to be called once, where the problem becomes an answer.
    pub fn log_cause(&self) {
        if let Some(cause) = &self.0.cause {
            tracing::error!(error = %Chain(cause.as_ref()), problem = self.0.slug.as_str(), "request failed");
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.slug.title())?;
        match &self.0.detail {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}

impl Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.to_response(None).map(Body::from);
        // The HTTP layer finds it here, adds the request's id and logs the cause.
        response.extensions_mut().insert(self);
        response
    }
}

/// An error with all its sources on one line.
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.0.to_string();
        write!(f, "{text}")?;
        let mut source = self.0.source();
        while let Some(error) = source {
            let next = error.to_string();
            // Many errors repeat their source in their own text.
            if !text.contains(&next) {
                write!(f, ": {next}")?;
                text = next;
            }
            source = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
