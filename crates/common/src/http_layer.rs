//! What every request and answer of a JSON service gets: a request id, a place in the caller's trace, `x-served-by`, a
//! span that names the route's template, a deadline, metrics, problems for what axum answers bare.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use tracing::Instrument;

use crate::clock;
use crate::config::HttpConfig;
use crate::problem::{Problem, Slug};
use crate::registry::InstanceId;

mod context;
mod unread;

pub use self::context::{RequestContext, TRACEPARENT, TraceParent, X_REQUEST_ID};

/// Names the instance that made an answer.
pub const X_SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");

/// Who answers.
#[derive(Debug, Clone, Serialize)]
pub struct Identity {
    /// The service's name.
    pub service: &'static str,
    /// The instance's.
    pub instance: InstanceId,
}

#[derive(Debug, Clone)]
struct Layer {
    identity: Arc<Identity>,
    served_by: HeaderValue,
    deadline: Duration,
}

/// Wraps every route of `router` (and its 404 and 405).
pub fn wrap(router: Router, identity: &Identity, config: &HttpConfig) -> Router {
    let served_by =
        HeaderValue::from_str(identity.instance.as_str()).expect("an instance id is visible ASCII");
    let layer = Layer {
        identity: Arc::new(identity.clone()),
        served_by,
        deadline: config.request_ms,
    };
    router
        .layer(DefaultBodyLimit::max(config.max_body_bytes))
        .layer(middleware::from_fn_with_state(layer, handle))
}

async fn handle(State(layer): State<Layer>, mut request: Request, next: Next) -> Response {
    let begun = clock::now();
    let context = RequestContext::of(request.headers());
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "none".into(), |path| path.as_str().to_owned());
    request.extensions_mut().insert(context.clone());
    unread::watch(&mut request);
    let span = tracing::info_span!(
        "request",
        service = layer.identity.service,
        instance = %layer.identity.instance,
        method = %method,
        route,
        request_id = context.request_id(),
        trace_id = %context.trace().trace_id_hex(),
    );
    let work = AssertUnwindSafe(context.clone().scope(next.run(request))).catch_unwind();
    let outcome = tokio::time::timeout(layer.deadline, work)
        .instrument(span.clone())
        .await;
    let response = match outcome {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => Problem::internal(panic_text(&*panic)).into_response(),
        Err(_) => Problem::unavailable("the request took too long", 1).into_response(),
    };
    let mut response = span.in_scope(|| complete(response, &context));
    response
        .headers_mut()
        .entry(X_SERVED_BY)
        .or_insert(layer.served_by);
    if let Ok(id) = HeaderValue::from_str(context.request_id()) {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
    let (status, elapsed) = (response.status(), begun.elapsed());
    record(&method, &route, status, elapsed);
    span.in_scope(|| {
        let elapsed_ms = elapsed.as_secs_f64() * 1e3;
        // That it is not ready yet is what a probe is asked for, several times a second while it starts: no warning.
        let is_probe = matches!(route.as_str(), "/health" | "/ready" | "/started");
        match status.is_server_error() && !is_probe {
            true => tracing::warn!(status = status.as_u16(), elapsed_ms, "answered"),
            false => tracing::debug!(status = status.as_u16(), elapsed_ms, "answered"),
        }
    });
    response
}

/// Gives problems their request id, logs their cause, and turns bare refusals (axum's 404 and 405) into problems.
fn complete(mut response: Response, context: &RequestContext) -> Response {
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        None if response.headers().contains_key(header::CONTENT_TYPE) => return response,
        None => match response.status() {
            StatusCode::NOT_FOUND => Problem::new(Slug::NotFound),
            StatusCode::METHOD_NOT_ALLOWED => Problem::new(Slug::MethodNotAllowed),
            _ => return response,
        },
    };
    problem.log_cause();
    let (mut parts, _) = response.into_parts();
    let (rendered, body) = problem.to_response(Some(context.request_id())).into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.extend(rendered.headers);
    Response::from_parts(parts, Body::from(body))
}

fn record(method: &http::Method, route: &str, status: StatusCode, elapsed: Duration) {
    // The method is the client's text: anything unusual is one label, or clients could grow our memory.
    let method = match method.as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known,
        _ => "other",
    };
    let labels = [
        ("method", method.to_owned()),
        ("route", route.to_owned()),
        ("status", status.as_u16().to_string()),
    ];
    metrics::counter!("http_requests_total", &labels).increment(1);
    metrics::histogram!("http_request_duration_seconds", &labels).record(elapsed.as_secs_f64());
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the handler panicked: {}", text.unwrap_or("no message"))
}

#[cfg(test)]
mod tests;
