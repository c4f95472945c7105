//! Placing, reading and listing orders.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use common::{
    clock,
    problem::{JsonBody, PathParam, Problem, QueryParams, Slug},
};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{AppState, cursor, reply};
use crate::{
    carts::session_of,
    domain::{IdempotencyKey, Order, OrderBody, Placement, check_customer_id},
    store::{NewOrder, Owner},
};

const DEFAULT_LIMIT: i64 = 20;
const MAX_LIMIT: i64 = 100;
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// `POST /orders`. An order placed with a session's cookie belongs to that session too.
pub(super) async fn place(
    State(state): State<AppState>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<OrderBody>,
) -> Result<Response, Problem> {
    let key = idempotency_key(&headers)?;
    let placement = Placement::try_from(body).map_err(|errors| {
        errors
            .into_iter()
            .fold(Problem::new(Slug::Invalid), |p, e| {
                p.field(e.pointer, e.detail)
            })
    })?;
    let scope = format!("customer:{}", placement.customer_id);
    let new = NewOrder {
        id: clock::uuid_v7(),
        fingerprint: placement.fingerprint(),
        placement,
        session: session_of(&headers).map(|sid| sid.hash()),
    };
    Ok(reply::outcome(
        state.saga.place(&scope, key.as_str(), new).await?,
    ))
}

fn idempotency_key(headers: &HeaderMap) -> Result<IdempotencyKey, Problem> {
    let mut given = headers.get_all(IDEMPOTENCY_KEY).iter();
    match (given.next(), given.next()) {
        (None, _) => Err(Problem::new(Slug::KeyMissing).detail("send an Idempotency-Key header")),
        (Some(value), None) => IdempotencyKey::parse(value.as_bytes())
            .map_err(|error| Problem::new(Slug::Malformed).detail(error.to_string())),
        (Some(_), Some(_)) => {
            Err(Problem::new(Slug::Malformed).detail("send one Idempotency-Key header"))
        }
    }
}

/// `GET /orders/{id}`: the unguessable id is the capability.
pub(super) async fn read(
    State(state): State<AppState>,
    PathParam(id): PathParam<String>,
) -> Result<Response, Problem> {
    let order = state
        .store
        .order(order_id(&id)?)
        .await?
        .ok_or_else(reply::no_such_order)?;
    Ok(reply::order(&order))
}

/// What is not an id names no order.
pub(super) fn order_id(text: &str) -> Result<Uuid, Problem> {
    Uuid::try_parse(text).map_err(|_| reply::no_such_order())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    customer_id: Option<String>,
    limit: Option<i64>,
    cursor: Option<String>,
}

#[derive(Serialize)]
struct Page {
    items: Vec<Order>,
    next_cursor: Option<String>,
}

/// `GET /orders`: the session's own orders; with `customer_id` and the admin token, that customer's.
pub(super) async fn list(
    State(state): State<AppState>,
    headers: HeaderMap,
    QueryParams(query): QueryParams<ListQuery>,
) -> Result<Response, Problem> {
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Problem::invalid(
            "/limit",
            format!("must be 1 to {MAX_LIMIT}"),
        ));
    }
    let owner = match query.customer_id {
        Some(customer_id) => {
            state.admin.require(&headers)?;
            check_customer_id(&customer_id)
                .map_err(|detail| Problem::invalid("/customer_id", detail))?;
            Some(Owner::Customer(customer_id))
        }
        None => session_of(&headers).map(|sid| Owner::Session(sid.hash())),
    };
    // Without a session there is nothing to go on from, so any cursor is wrong.
    let Some(owner) = owner else {
        return match query.cursor {
            None => Ok(page(Vec::new(), None)),
            Some(_) => {
                Err(Problem::new(Slug::Malformed).field("/cursor", "is not a cursor of this list"))
            }
        };
    };
    let before = query
        .cursor
        .map(|text| cursor::decode(&owner, &text))
        .transpose()?;
    let mut orders = state.store.orders(&owner, before, limit + 1).await?;
    let more = orders.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    if more {
        orders.pop();
    }
    let next_cursor = orders
        .last()
        .filter(|_| more)
        .map(|last| cursor::encode(&owner, last.id));
    Ok(page(orders, next_cursor))
}

fn page(items: Vec<Order>, next_cursor: Option<String>) -> Response {
    ([reply::NO_STORE], Json(Page { items, next_cursor })).into_response()
}
