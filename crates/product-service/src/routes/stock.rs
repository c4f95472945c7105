//! Stock movements by hand.

use super::products::unknown;
use super::{Admin, AppState};
use crate::cache::Touched;
use crate::domain::{Delta, ProductId, ShortId};
use crate::failure;
use crate::store::stock::{self, Moved};
use axum::Json;
use axum::extract::State;
use common::problem::{JsonBody, PathParam, Problem, Slug};
use serde::{Deserialize, Serialize};

/// A movement. Its id makes repeating it harmless.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Movement {
    id: ShortId,
    delta: Delta,
}

/// A movement that was applied; a repeated one is answered as it was then.
#[derive(Debug, Serialize)]
pub(super) struct Applied {
    id: ShortId,
    product_id: ProductId,
    delta: Delta,
    /// Pieces right after it.
    stock: i64,
}

/// `POST /products/{id}/stock`
pub(super) async fn apply(
    _: Admin,
    State(shop): State<AppState>,
    PathParam(product_id): PathParam<ProductId>,
    JsonBody(Movement { id, delta }): JsonBody<Movement>,
) -> Result<Json<Applied>, Problem> {
    let mut transaction = shop.begin().await?;
    let moved = stock::apply(&mut transaction, &product_id, &id, delta)
        .await
        .map_err(failure::database)?;
    let stock = match moved {
        Moved::Done { stock, revision } => {
            let touched = Touched {
                products: vec![(product_id.as_str().to_owned(), revision)],
                catalogue: None,
            };
            shop.commit(transaction, &touched).await?;
            stock
        }
        Moved::Repeated { stock } => stock,
        Moved::Reused => {
            let detail =
                format!("the movement {id} was applied to another product or with another delta");
            return Err(Problem::new(Slug::Conflict)
                .field("/id", "belongs to another movement")
                .detail(detail));
        }
        Moved::OutOfBounds { stock } => {
            let detail = format!(
                "there are {stock} pieces, which cannot change by {}",
                delta.get()
            );
            return Err(Problem::new(Slug::Conflict)
                .field("/delta", "leaves an impossible stock")
                .detail(detail));
        }
        Moved::Unknown => return Err(unknown(&product_id)),
    };
    Ok(Json(Applied {
        id,
        product_id,
        delta,
        stock,
    }))
}
