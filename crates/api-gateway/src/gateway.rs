//! The public side: a tower service that checks a request, finds its owner and lets it through.

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use common::http_layer::{X_REQUEST_ID, X_SERVED_BY};
use common::serve::Peer;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, LOCATION};
use http::uri::PathAndQuery;
use http::{Request, Response, Uri, Version};
use hyper::body::{Body, Incoming};
use tokio::time::Instant;

use crate::download::ClientBody;
use crate::forward::Exchange;
use crate::headers;
use crate::outgoing::Outgoing;
use crate::pool::Pool;
use crate::routes::{self, Resolved, Route};
use crate::state::Shared;
use crate::trace;
use crate::trouble::Trouble;
use crate::upload::{BodyLimits, UpstreamBody};

/// The gateway, as one worker runs it.
#[derive(Debug, Clone)]
pub struct Gateway {
    shared: Arc<Shared>,
    pool: Arc<Pool>,
}

impl Gateway {
    /// With a worker's own pool.
    #[must_use]
    pub fn new(shared: Arc<Shared>, pool: Arc<Pool>) -> Self {
        Self { shared, pool }
    }

    /// Answers a request, one way or another.
    pub async fn answer(self, request: Request<Incoming>) -> Response<ClientBody> {
        let started = common::clock::now();
        let id = headers::request_id(request.headers()).unwrap_or_else(new_request_id);
        let method = request.method().clone();
        let mut unread = !request.body().is_end_stream();
        let (route, result) = match self.admit(&request) {
            Ok(Resolved::Health) => (None, Ok(self.health())),
            Ok(Resolved::Upstream(route, path)) => {
                let path = path.into_owned();
                (
                    Some(route),
                    self.forward(route, &path, request, &id, started, &mut unread)
                        .await,
                )
            }
            Err(trouble) => (None, Err(trouble)),
        };
        let mut answer = result.unwrap_or_else(|trouble| {
            let mut answer = trouble.answer(&id);
            answer
                .headers_mut()
                .insert(X_SERVED_BY, self.shared.instance.clone());
            answer
        });
        let took = common::clock::now().saturating_duration_since(started);
        self.shared
            .meters(route)
            .answered(answer.status(), took.as_secs_f64());
        tracing::debug!(
            request_id = id.to_str().unwrap_or_default(),
            %method,
            route = route.map_or("-", |route| route.template),
            status = answer.status().as_u16(),
            ms = took.as_secs_f64() * 1_000.0,
            "answered"
        );
        answer.headers_mut().insert(X_REQUEST_ID, id);
        if unread {
            // What is left of the request's body ends the connection: the client must not send another request after it.
            answer
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }

    /// Everything that can be said of a request before its body.
    fn admit<'r>(&self, request: &'r Request<Incoming>) -> Result<Resolved<'r>, Trouble> {
        let limits = &self.shared.limits;
        if request.headers().len() > limits.max_headers
            || headers::size(request.headers()) > limits.max_header_bytes
        {
            return Err(Trouble::HeadersTooLarge(
                limits.max_headers,
                limits.max_header_bytes,
            ));
        }
        if request
            .uri()
            .path_and_query()
            .is_some_and(|target| target.as_str().len() > limits.max_target_bytes)
        {
            return Err(Trouble::TargetTooLong(limits.max_target_bytes));
        }
        headers::host(
            request.uri(),
            request.headers(),
            request.version() >= Version::HTTP_11,
        )
        .map_err(|_| Trouble::BadHost)?;
        Ok(routes::resolve(request.method(), request.uri().path())?)
    }

    async fn forward(
        &self,
        route: &'static Route,
        path: &str,
        request: Request<Incoming>,
        id: &HeaderValue,
        started: Instant,
        unread: &mut bool,
    ) -> Result<Response<ClientBody>, Trouble> {
        let (config, request_limits) = (&self.shared.config, &self.shared.limits);
        let limits = BodyLimits {
            max: request_limits.max_body_bytes,
            keep: config.upstream.keep_body_bytes,
            pause: config.upstream.pause_ms,
        };
        if request
            .body()
            .size_hint()
            .exact()
            .is_some_and(|length| length > limits.max as u64)
        {
            return Err(Trouble::BodyTooLarge(limits.max));
        }
        let deadline = started + request_limits.deadline;
        let peer = request
            .extensions()
            .get::<Peer>()
            .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
        let (parts, body) = request.into_parts();
        let uri = upstream_uri(path, parts.uri.query())
            .ok_or(Trouble::TargetTooLong(request_limits.max_target_bytes))?;
        let mut fields = parts.headers;
        let host = headers::host(&parts.uri, &fields, false).unwrap_or_default();
        let keyed = headers::is_keyed(&parts.method, &fields);
        headers::to_upstream(&mut fields, peer, host);
        trace::pass_on(&mut fields);
        fields.insert(X_REQUEST_ID, id.clone());
        let body = tokio::time::timeout_at(deadline, UpstreamBody::receive(body, limits))
            .await
            .map_err(|_| Trouble::BodySlow)?
            .map_err(|fault| Trouble::of_body(fault, limits.max))?;
        let progress = body.progress();
        let exchange = Exchange {
            cluster: self.shared.cluster(route),
            pool: &self.pool,
            config: &config.upstream,
            retries: config.retry.attempts,
            deadline,
            keyed,
            max_body: limits.max,
        };
        let result = exchange
            .run(Outgoing {
                method: parts.method,
                uri,
                headers: fields,
                body,
            })
            .await;
        *unread = progress.is_some_and(|progress| !progress.has_ended());
        let mut answer = result?;
        let status = answer.status();
        headers::to_client(answer.headers_mut(), status);
        make_location_public(route, &mut answer);
        Ok(answer)
    }

    fn health(&self) -> Response<ClientBody> {
        let mut answer = Response::new(ClientBody::Whole(Bytes::from_static(
            br#"{"status":"healthy","service":"api-gateway"}"#,
        )));
        answer
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        answer
            .headers_mut()
            .insert(X_SERVED_BY, self.shared.instance.clone());
        answer
    }
}

impl tower::Service<Request<Incoming>> for Gateway {
    type Response = Response<ClientBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let gateway = self.clone();
        Box::pin(async move { Ok(gateway.answer(request).await) })
    }
}

fn upstream_uri(path: &str, query: Option<&str>) -> Option<Uri> {
    let target = match query {
        Some(query) => PathAndQuery::from_maybe_shared(Bytes::from(format!("{path}?{query}"))),
        None => PathAndQuery::from_maybe_shared(Bytes::copy_from_slice(path.as_bytes())),
    };
    Uri::builder().path_and_query(target.ok()?).build().ok()
}

fn make_location_public(route: &Route, answer: &mut Response<ClientBody>) {
    let Some(location) = answer
        .headers()
        .get(LOCATION)
        .and_then(|location| location.to_str().ok())
    else {
        return;
    };
    if let Some(Ok(public)) = routes::public_location(route, location).map(HeaderValue::try_from) {
        answer.headers_mut().insert(LOCATION, public);
    }
}

fn new_request_id() -> HeaderValue {
    HeaderValue::try_from(common::clock::uuid_v7().to_string()).expect("a UUID is a header value")
}
