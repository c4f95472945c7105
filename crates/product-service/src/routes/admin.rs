//! Changing the catalogue.

use super::products::unknown;
use super::{Admin, AppState};
use crate::cache::Touched;
use crate::domain::{Category, Cents, Description, Name, ProductId, Stock, Version};
use crate::failure;
use crate::store::products::{self, Card, Product, Updated};
use crate::view;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use common::problem::{JsonBody, PathParam, Problem, Slug};
use http::header::{CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use sqlx::PgTransaction;

/// A new product.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewProduct {
    id: ProductId,
    name: Name,
    #[serde(default = "no_text")]
    description: Description,
    category: Category,
    price_cents: Cents,
    #[serde(default = "no_stock")]
    stock: Stock,
}

fn no_text() -> Description {
    Description::try_from(String::new()).expect("a description may be empty")
}

fn no_stock() -> Stock {
    Stock::try_from(0).expect("stock may be none")
}

/// A change; stock has a path of its own and is refused here like any unknown field.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    name: Name,
    #[serde(default = "no_text")]
    description: Description,
    category: Category,
    price_cents: Cents,
    version: Version,
}

/// `POST /products`
pub(super) async fn create(
    _: Admin,
    State(shop): State<AppState>,
    JsonBody(new): JsonBody<NewProduct>,
) -> Result<Response, Problem> {
    let card = Card {
        name: new.name,
        description: new.description,
        category: new.category,
        price: new.price_cents,
    };
    let mut transaction = shop.begin().await?;
    let inserted = products::insert(&mut transaction, &new.id, &card, new.stock)
        .await
        .map_err(failure::database)?;
    let Some(product) = inserted else {
        let detail = format!("the id {} is taken, perhaps by a deleted product", new.id);
        return Err(Problem::new(Slug::Conflict)
            .field("/id", "is taken")
            .detail(detail));
    };
    finish(&shop, transaction, &product.id, product.revision).await?;
    let location =
        HeaderValue::try_from(format!("/products/{}", product.id)).map_err(Problem::internal)?;
    let mut response = answer(&shop, StatusCode::CREATED, &product)?;
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

/// `PUT /products/{id}`
pub(super) async fn update(
    _: Admin,
    State(shop): State<AppState>,
    PathParam(id): PathParam<ProductId>,
    JsonBody(change): JsonBody<Change>,
) -> Result<Response, Problem> {
    let card = Card {
        name: change.name,
        description: change.description,
        category: change.category,
        price: change.price_cents,
    };
    let mut transaction = shop.begin().await?;
    let updated = products::update(&mut transaction, &id, &card, change.version)
        .await
        .map_err(failure::database)?;
    match updated {
        Updated::Done(product) => {
            finish(&shop, transaction, &product.id, product.revision).await?;
            answer(&shop, StatusCode::OK, &product)
        }
        Updated::Stale(current) => {
            let detail = format!("the current version is {current}");
            Err(Problem::new(Slug::Stale)
                .field("/version", detail.clone())
                .detail(detail))
        }
        Updated::Unknown => Err(unknown(&id)),
    }
}

/// `DELETE /products/{id}`
pub(super) async fn delete(
    _: Admin,
    State(shop): State<AppState>,
    PathParam(id): PathParam<ProductId>,
) -> Result<StatusCode, Problem> {
    let mut transaction = shop.begin().await?;
    let revision = products::delete(&mut transaction, &id)
        .await
        .map_err(failure::database)?;
    let Some(revision) = revision else {
        return Err(unknown(&id));
    };
    finish(&shop, transaction, id.as_str(), revision).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends a change that list pages can show.
async fn finish(
    shop: &AppState,
    mut transaction: PgTransaction<'static>,
    id: &str,
    revision: i64,
) -> Result<(), Problem> {
    let catalogue = products::bump(&mut transaction)
        .await
        .map_err(failure::database)?;
    let touched = Touched {
        products: vec![(id.to_owned(), revision)],
        catalogue: Some(catalogue),
    };
    shop.commit(transaction, &touched).await
}

fn answer(shop: &AppState, status: StatusCode, product: &Product) -> Result<Response, Problem> {
    let etag =
        HeaderValue::try_from(format!("\"{}\"", view::etag(product))).map_err(Problem::internal)?;
    let content_type = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok((
        status,
        [content_type, (ETAG, etag)],
        view::product(product, shop.currency()),
    )
        .into_response())
}
