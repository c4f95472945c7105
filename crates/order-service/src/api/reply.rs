//! Turns what happened into answers, in one place.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use common::problem::{Problem, Slug};
use http::{HeaderName, HeaderValue, StatusCode, header};
use uuid::Uuid;

use crate::{
    answer::Answer, carts::CartError, domain::Order, products::ProductsError, saga::Outcome,
    store::StoreError,
};

/// Marks an answer that was made for an earlier copy of the request.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Seconds after which asking again makes sense while a store is away.
const RETRY_AFTER: u64 = 1;

/// Orders and carts are personal: no cache may keep them.
pub(super) const NO_STORE: (HeaderName, HeaderValue) =
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// The answer to a request to place an order.
pub(super) fn outcome(outcome: Outcome) -> Response {
    let (mut response, replayed) = match outcome {
        Outcome::Decided {
            answer,
            order_id,
            replayed,
        } => (decided(answer, order_id), replayed),
        Outcome::Undecided { order, replayed } => (located(StatusCode::ACCEPTED, &order), replayed),
        Outcome::KeyReused => {
            let problem = Problem::new(Slug::KeyReused)
                .detail("this idempotency key was used for another request");
            (problem.into_response(), false)
        }
    };
    if replayed {
        response
            .headers_mut()
            .insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

fn decided(answer: Answer, order_id: Uuid) -> Response {
    match answer {
        Answer::Placed { order } => located(StatusCode::CREATED, &order),
        Answer::Short { short } => Problem::new(Slug::ShortStock)
            .with("short", serde_json::json!(short))
            .with("order_id", order_id.to_string())
            .into_response(),
        Answer::UnknownProducts { positions } => positions
            .iter()
            .fold(Problem::new(Slug::Invalid), |problem, position| {
                problem.field(
                    format!("/items/{position}/product_id"),
                    "there is no such product",
                )
            })
            .into_response(),
        Answer::TotalTooLarge => {
            Problem::invalid("/items", "the order's total is too large").into_response()
        }
        Answer::Withdrawn => Problem::new(Slug::Conflict)
            .detail("the order was cancelled before it was confirmed")
            .with("order_id", order_id.to_string())
            .into_response(),
    }
}

fn located(status: StatusCode, order: &Order) -> Response {
    let location =
        HeaderValue::try_from(format!("/orders/{}", order.id)).expect("a UUID is visible ASCII");
    (
        status,
        [(header::LOCATION, location), NO_STORE],
        Json(order),
    )
        .into_response()
}

/// An order as the body of a 200.
pub(super) fn order(order: &Order) -> Response {
    ([NO_STORE], Json(order)).into_response()
}

/// 404 for an order.
pub(super) fn no_such_order() -> Problem {
    Problem::new(Slug::NotFound).detail("there is no such order")
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Away(_) | StoreError::Silent => {
                Self::unavailable("orders are not available right now", RETRY_AFTER).cause(error)
            }
            StoreError::Broken(_) | StoreError::Unreadable(_) => Self::internal(error),
        }
    }
}

impl From<CartError> for Problem {
    fn from(error: CartError) -> Self {
        match error {
            CartError::Unreadable => Self::internal(error),
            CartError::Pool(_) | CartError::Command(_) | CartError::TimedOut => {
                Self::unavailable("carts are not available right now", RETRY_AFTER).cause(error)
            }
        }
    }
}

impl From<ProductsError> for Problem {
    fn from(error: ProductsError) -> Self {
        Self::unavailable("products are not available right now", RETRY_AFTER).cause(error)
    }
}
