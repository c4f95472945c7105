//! Stock for orders. Internal: the gateway routes nothing here.

use super::AppState;
use crate::cache::Touched;
use crate::domain::{ProductId, Quantity};
use crate::failure;
use crate::store::reservations::{self, Held, Lines, Reserved};
use axum::Json;
use axum::extract::State;
use common::problem::{JsonBody, PathParam, Problem, Slug, objects};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Most lines of an order.
const MAX_LINES: usize = 100;

/// What an order wants. Unknown fields are ignored between services: their releases mix during an update.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    #[serde(deserialize_with = "objects")]
    items: Vec<Line>,
}

#[derive(Debug, Clone, Deserialize)]
struct Line {
    product_id: ProductId,
    quantity: Quantity,
}

/// What an order got.
#[derive(Debug, Serialize)]
pub(super) struct Reservation {
    items: Vec<Held>,
    currency: String,
}

/// `PUT /reservations/{order_id}`
pub(super) async fn reserve(
    State(shop): State<AppState>,
    PathParam(order): PathParam<Uuid>,
    JsonBody(wanted): JsonBody<Wanted>,
) -> Result<Json<Reservation>, Problem> {
    let lines = lines(&wanted.items)?;
    let mut transaction = shop.begin().await?;
    let reserved = reservations::reserve(&mut transaction, order, &lines)
        .await
        .map_err(failure::database)?;
    let items = match reserved {
        Reserved::Done(held, products) => {
            shop.commit(
                transaction,
                &Touched {
                    products,
                    catalogue: None,
                },
            )
            .await?;
            held
        }
        Reserved::Repeated(held) => held,
        Reserved::Conflict => {
            return Err(Problem::new(Slug::Conflict).detail("this order holds other items already"));
        }
        Reserved::Released => return Err(Problem::new(Slug::Released)),
        Reserved::Short(short) => {
            let short = serde_json::to_value(short).map_err(Problem::internal)?;
            return Err(Problem::new(Slug::ShortStock).with("short", short));
        }
        Reserved::Unknown(ids) => return Err(unknown(&wanted.items, &ids)),
    };
    Ok(Json(Reservation {
        items,
        currency: shop.currency().to_owned(),
    }))
}

/// `DELETE /reservations/{order_id}`
pub(super) async fn release(
    State(shop): State<AppState>,
    PathParam(order): PathParam<Uuid>,
) -> Result<StatusCode, Problem> {
    let mut transaction = shop.begin().await?;
    let products = reservations::release(&mut transaction, order)
        .await
        .map_err(failure::database)?;
    shop.commit(
        transaction,
        &Touched {
            products,
            catalogue: None,
        },
    )
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// 1 to 100 lines, each product once.
fn lines(items: &[Line]) -> Result<Lines, Problem> {
    if items.is_empty() || items.len() > MAX_LINES {
        return Err(Problem::invalid(
            "/items",
            format!("must be 1 to {MAX_LINES} items"),
        ));
    }
    let mut lines = Lines::new();
    for (at, line) in items.iter().enumerate() {
        if lines
            .insert(line.product_id.clone(), line.quantity)
            .is_some()
        {
            return Err(Problem::invalid(
                format!("/items/{at}/product_id"),
                "is in the list twice",
            ));
        }
    }
    Ok(lines)
}

/// 422 that points at every item naming one of `ids`.
fn unknown(items: &[Line], ids: &[ProductId]) -> Problem {
    items
        .iter()
        .enumerate()
        .filter(|(_, line)| ids.contains(&line.product_id))
        .fold(Problem::new(Slug::Invalid), |problem, (at, line)| {
            problem.field(
                format!("/items/{at}/product_id"),
                format!("there is no product {}", line.product_id),
            )
        })
}
