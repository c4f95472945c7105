//! The registry over HTTP.

mod classic;
mod v1;
mod watch;

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRef, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use common::auth::BearerAuth;
use common::config::Secret;
use common::problem::{Problem, Slug};
use ipnet::IpNet;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::core::Refusal;
use crate::registry::Registry;

/// What handlers need.
#[derive(Debug, Clone, FromRef)]
pub struct AppState {
    registry: Arc<Registry>,
    allowed: Arc<[IpNet]>,
    token: Option<Arc<BearerAuth>>,
    closing: CancellationToken,
}

impl AppState {
    /// `token`: required for writes if there is one. `closing`: ends watches.
    pub fn new(
        registry: Arc<Registry>,
        config: &Config,
        token: Option<Secret>,
        closing: CancellationToken,
    ) -> Self {
        let token = token.map(|token| Arc::new(BearerAuth::new(Some(token))));
        Self {
            registry,
            allowed: config.probe_cidrs.clone().into(),
            token,
            closing,
        }
    }
}

/// Every route.
pub fn app(state: AppState) -> Router {
    let writes = Router::new()
        .route(
            "/v1/services/{service}/instances/{id}",
            put(v1::register).delete(v1::deregister),
        )
        .route(
            "/v1/services/{service}/instances/{id}/drain",
            post(v1::drain),
        )
        .route("/register", post(classic::register))
        .route("/deregister/{name}", delete(classic::deregister))
        .route_layer(middleware::from_fn_with_state(state.clone(), authorize));
    Router::new()
        .merge(writes)
        .route("/v1/services", get(v1::services))
        .route("/v1/services/{service}", get(v1::instances))
        .route("/v1/watch", get(watch::watch))
        .route("/discover/{name}", get(classic::discover))
        .route("/services", get(classic::services))
        .with_state(state)
}

async fn authorize(
    State(token): State<Option<Arc<BearerAuth>>>,
    request: Request,
    next: Next,
) -> Response {
    match token.map_or(Ok(()), |token| token.require(request.headers())) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn refused(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::Generation(known) => Problem::new(Slug::Generation)
            .detail(format!(
                "generation {known} is known; a process that starts now takes a higher one"
            ))
            .with("generation", known),
        Refusal::Unknown => Problem::new(Slug::NotFound).detail("there is no such instance"),
        Refusal::Full => Problem::unavailable("the registry is full", 10),
        Refusal::Leased => {
            Problem::new(Slug::Conflict).detail("an instance with a lease has that address")
        }
    }
}
