//! The admin side's own route; `/health`, `/ready`, `/started` and `/metrics` are every service's.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::state::Shared;

/// `GET /upstreams`: `{"services":[{"service","instances":[{"id","address","state","in_flight","ejected_for_ms"?}]}]}`, `state` being
/// `active`, `draining` or `ejected`.
pub fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/upstreams", get(upstreams))
        .with_state(shared)
}

async fn upstreams(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let now = common::clock::now();
    let services: Vec<_> = shared
        .clusters()
        .iter()
        .map(|cluster| cluster.report(now))
        .collect();
    Json(json!({ "services": services }))
}
