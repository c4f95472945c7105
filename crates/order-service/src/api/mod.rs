//! The public side: routes, and nothing else.

mod cancel;
mod carts;
mod checkout;
mod cursor;
mod orders;
mod reply;

use axum::{
    Router,
    routing::{get, post, put},
};
use common::auth::BearerAuth;

use crate::{carts::Carts, products::Products, saga::Saga, store::Store};

/// What the handlers work with. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AppState {
    /// Orders.
    pub store: Store,
    /// Places and cancels orders.
    pub saga: Saga,
    /// Carts.
    pub carts: Carts,
    /// Names and prices for carts.
    pub products: Products,
    /// Who may read other customers' orders.
    pub admin: BearerAuth,
}

/// Every route of the service; health and metrics are added by `common`.
pub fn app(state: AppState) -> Router {
    Router::new()
        .route("/orders", get(orders::list).post(orders::place))
        .route("/orders/{id}", get(orders::read))
        .route("/orders/{id}/cancel", post(cancel::cancel))
        .route("/cart", get(carts::read))
        .route(
            "/cart/items/{product_id}",
            put(carts::put).delete(carts::remove),
        )
        .route("/cart/checkout", post(checkout::checkout))
        .with_state(state)
}
