//! The routes. Handlers parse, call, and shape the answer; nothing else.

mod admin;
mod products;
mod reservations;
mod stock;

use crate::shop::Shop;
use axum::Router;
use axum::extract::FromRequestParts;
use axum::routing::{get, post, put};
use common::problem::Problem;
use http::HeaderName;
use http::request::Parts;
use std::sync::Arc;

/// Shared by all handlers.
pub type AppState = Arc<Shop>;

/// Says where a read came from: `hit`, `miss` or `bypass`.
const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

/// Every route of this service but those all services have.
pub fn app(state: AppState) -> Router {
    Router::new()
        .route("/products", get(products::list).post(admin::create))
        .route(
            "/products/{id}",
            get(products::read).put(admin::update).delete(admin::delete),
        )
        .route("/products/{id}/stock", post(stock::apply))
        .route(
            "/reservations/{order_id}",
            put(reservations::reserve).delete(reservations::release),
        )
        .with_state(state)
}

/// Put first in a handler: the request carries the admin token. Checked before anything else of it is read.
struct Admin;

impl FromRequestParts<AppState> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        state.admin().require(&parts.headers).map(|()| Self)
    }
}
