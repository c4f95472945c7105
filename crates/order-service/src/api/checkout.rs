//! `POST /cart/checkout`: an order of what is in the cart.
//!
//! The idempotency key is the session and the cart's version. A repeated checkout of the same cart, even after the cart
//! was emptied by the first, gets the first one's answer; a changed cart is another order.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use common::{
    clock,
    problem::{JsonBody, Problem, Slug},
};
use http::HeaderMap;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{AppState, carts, reply};
use crate::{
    answer::Answer,
    carts::SessionId,
    domain::{Item, Placement, check_customer_id},
    saga::Outcome,
    store::{NewOrder, StoreError},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckoutBody {
    customer_id: String,
}

/// Checks the session's cart out.
pub(super) async fn checkout(
    State(state): State<AppState>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<CheckoutBody>,
) -> Result<Response, Problem> {
    check_customer_id(&body.customer_id)
        .map_err(|detail| Problem::invalid("/customer_id", detail))?;
    let (sid, cart) = carts::session(&state, &headers).await?;
    let scope = format!("session:{}", sid.hash_hex());
    let fingerprint = fingerprint(&body.customer_id);

    let outcome = if cart.lines.is_empty() {
        state
            .saga
            .replay(&scope, &cart.checked_out.to_string(), fingerprint)
            .await?
    } else {
        let items = cart.lines.into_iter().map(|line| Item {
            product_id: line.product_id,
            name: None,
            unit_price_cents: None,
            quantity: line.quantity,
        });
        let placement = Placement {
            customer_id: body.customer_id,
            items: items.collect(),
        };
        let new = NewOrder {
            id: clock::uuid_v7(),
            placement,
            session: Some(sid.hash()),
            fingerprint,
        };
        // To its end, also when the client hangs up: an order placed from a cart that still looks full invites a second one.
        let (placing, sid) = (state.clone(), sid.clone());
        let placed = state
            .saga
            .spawn(async move { place(&placing, &sid, cart.version, &scope, new).await });
        let outcome = placed.await.map_err(Problem::internal)??;
        Some(outcome)
    };

    let mut response = match outcome {
        Some(outcome) => reply::outcome(outcome),
        None => Problem::new(Slug::Invalid)
            .detail("the cart is empty")
            .into_response(),
    };
    let (name, value) = carts::cookie(&headers, &sid);
    response.headers_mut().insert(name, value);
    Ok(response)
}

/// Places the order, then empties the cart unless it was changed meanwhile.
async fn place(
    state: &AppState,
    sid: &SessionId,
    version: u64,
    scope: &str,
    new: NewOrder,
) -> Result<Outcome, StoreError> {
    let outcome = state.saga.place(scope, &version.to_string(), new).await?;
    let accepted = match &outcome {
        Outcome::Decided { answer, .. } => matches!(answer, Answer::Placed { .. }),
        Outcome::Undecided { .. } => true,
        Outcome::KeyReused => return Ok(outcome),
    };
    if let Err(error) = state.carts.checked_out(sid, version, accepted).await {
        // The order stands. The cart keeps its version, so checking it out again finds this order.
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "a cart was checked out and could not be emptied"
        );
    }
    Ok(outcome)
}

/// The items are fixed by the cart's version, which is the key.
fn fingerprint(customer_id: &str) -> [u8; 32] {
    Sha256::new_with_prefix(b"cart\0")
        .chain_update(customer_id)
        .finalize()
        .into()
}
