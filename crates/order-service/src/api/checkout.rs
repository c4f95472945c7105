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
    domain::{Item, Placement, check_customer_id},
    saga::Outcome,
    store::NewOrder,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckoutBody {
    customer_id: String,
}

/// Places the order, then empties the cart unless it was changed meanwhile.
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
        let outcome = state
            .saga
            .place(&scope, &cart.version.to_string(), new)
            .await?;
        let accepted = match &outcome {
            Outcome::Decided { answer, .. } => Some(matches!(answer, Answer::Placed { .. })),
            Outcome::Undecided { .. } => Some(true),
            Outcome::KeyReused => None,
        };
        if let Some(accepted) = accepted
            && let Err(error) = state.carts.checked_out(&sid, cart.version, accepted).await
        {
            // The order stands. The cart keeps its version, so checking it out again finds this order.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a cart was checked out and could not be emptied"
            );
        }
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

/// The items are fixed by the cart's version, which is the key.
fn fingerprint(customer_id: &str) -> [u8; 32] {
    Sha256::new_with_prefix(b"cart\0")
        .chain_update(customer_id)
        .finalize()
        .into()
}
