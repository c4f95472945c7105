//! The session's cart. Every answer renews the session's cookie.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use common::{
    clock,
    problem::{JsonBody, PathParam, Problem, Slug},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use http::{HeaderMap, HeaderValue, header};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{AppState, reply};
use crate::{
    carts::{Cart, LIFETIME, Seen, SessionId, session_of},
    domain::{Item, MAX_CART_QUANTITY, MAX_ITEMS, check_product_id},
};

/// Products looked up at once for one cart.
const LOOKUPS: usize = 8;

#[derive(Serialize)]
struct CartView {
    items: Vec<Item>,
    total_cents: Option<i64>,
    currency: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QuantityBody {
    quantity: i64,
}

/// `GET /cart`.
pub(super) async fn read(
    State(state): State<AppState>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (sid, cart) = session(&state, &headers).await?;
    answer(&state, &headers, &sid, cart).await
}

/// `PUT /cart/items/{product_id}`: sets how many.
pub(super) async fn put(
    State(state): State<AppState>,
    PathParam(product_id): PathParam<String>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<QuantityBody>,
) -> Result<Response, Problem> {
    check_product_id(&product_id).map_err(|detail| Problem::invalid("/product_id", detail))?;
    let quantity = u32::try_from(body.quantity)
        .ok()
        .filter(|_| (1..=MAX_CART_QUANTITY).contains(&body.quantity))
        .ok_or_else(|| {
            Problem::invalid("/quantity", format!("must be 1 to {MAX_CART_QUANTITY}"))
        })?;
    // Before the session, so that no refusal begins one that its client never hears of.
    if state.products.product(&product_id).await?.is_none() {
        return Err(Problem::new(Slug::NotFound).field("/product_id", "there is no such product"));
    }
    let (sid, _) = session(&state, &headers).await?;
    match state.carts.put(&sid, &product_id, quantity).await? {
        Seen::Cart(cart) => answer(&state, &headers, &sid, cart).await,
        Seen::Full => Err(Problem::invalid(
            "/product_id",
            format!("the cart already holds {MAX_ITEMS} products"),
        )),
        Seen::UnknownSession => Err(expired()),
    }
}

/// `DELETE /cart/items/{product_id}`: what is not in the cart is already gone.
pub(super) async fn remove(
    State(state): State<AppState>,
    PathParam(product_id): PathParam<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    check_product_id(&product_id).map_err(|detail| Problem::invalid("/product_id", detail))?;
    let (sid, _) = session(&state, &headers).await?;
    match state.carts.remove(&sid, &product_id).await? {
        Seen::Cart(cart) => answer(&state, &headers, &sid, cart).await,
        Seen::UnknownSession | Seen::Full => Err(expired()),
    }
}

/// The request's session and its cart. A session that is unknown here, whoever made it up, is replaced by a new one, so
/// that nobody can be led to use a session that somebody else knows.
pub(super) async fn session(
    state: &AppState,
    headers: &HeaderMap,
) -> Result<(SessionId, Cart), Problem> {
    if let Some(sid) = session_of(headers)
        && let Seen::Cart(cart) = state.carts.read(&sid).await?
    {
        return Ok((sid, cart));
    }
    Ok(state.carts.begin().await?)
}

/// The session went between two commands: the store was emptied.
fn expired() -> Problem {
    Problem::unavailable("the session has just ended", 1)
}

/// The `Set-Cookie` that keeps the session.
pub(super) fn cookie(headers: &HeaderMap, sid: &SessionId) -> (header::HeaderName, HeaderValue) {
    let scheme = headers
        .get("x-forwarded-proto")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let first = scheme.split(',').next().unwrap_or_default().trim();
    (
        header::SET_COOKIE,
        sid.cookie(first.eq_ignore_ascii_case("https")),
    )
}

async fn answer(
    state: &AppState,
    headers: &HeaderMap,
    sid: &SessionId,
    cart: Cart,
) -> Result<Response, Problem> {
    let view = priced(state, cart).await?;
    Ok(([cookie(headers, sid), reply::NO_STORE], Json(view)).into_response())
}

/// The cart at today's prices. A product that is gone from the catalogue stays, without name and price.
async fn priced(state: &AppState, cart: Cart) -> Result<CartView, Problem> {
    let mut view = CartView {
        items: Vec::with_capacity(cart.lines.len()),
        total_cents: Some(0),
        currency: None,
        expires_at: clock::utc() + LIFETIME,
    };
    let mut lookups = stream::iter(cart.lines)
        .map(|line| async move {
            Ok::<_, Problem>((state.products.product(&line.product_id).await?, line))
        })
        .buffered(LOOKUPS);
    while let Some((product, line)) = lookups.try_next().await? {
        let (name, unit_price_cents, currency) = product.map_or((None, None, None), |p| {
            (Some(p.name), Some(p.price_cents), Some(p.currency))
        });
        let price = unit_price_cents
            .unwrap_or(0)
            .checked_mul(i64::from(line.quantity));
        view.total_cents = view
            .total_cents
            .zip(price)
            .and_then(|(total, price)| total.checked_add(price));
        view.currency = view.currency.or(currency);
        view.items.push(Item {
            product_id: line.product_id,
            name,
            unit_price_cents,
            quantity: line.quantity,
        });
    }
    Ok(view)
}
