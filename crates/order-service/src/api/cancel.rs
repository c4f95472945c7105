//! `POST /orders/{id}/cancel`.

use axum::{extract::State, response::Response};
use common::problem::{PathParam, Problem, Slug};

use super::{AppState, orders::order_id, reply};
use crate::saga::Cancellation;

/// Cancels an order and returns its stock. A pending order can always be cancelled, a confirmed one for a time; cancelling
/// what is cancelled changes nothing.
pub(super) async fn cancel(
    State(state): State<AppState>,
    PathParam(id): PathParam<String>,
) -> Result<Response, Problem> {
    match state.saga.cancel(order_id(&id)?).await? {
        Cancellation::Cancelled(order) => Ok(reply::order(&order)),
        Cancellation::TooLate => Err(Problem::new(Slug::Conflict)
            .detail("the order was confirmed too long ago to be cancelled")),
        Cancellation::Unknown => Err(reply::no_such_order()),
    }
}
