//! Products as they are answered.

use crate::store::products::Product;
use bytes::Bytes;
use serde::Serialize;
use time::OffsetDateTime;

/// One product. Without `stock` in lists: it would be old before the page is read, and make every sale change every page.
#[derive(Debug, Serialize)]
struct ProductView<'a> {
    id: &'a str,
    name: &'a str,
    description: &'a str,
    category: &'a str,
    price_cents: i64,
    currency: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stock: Option<i64>,
    version: i64,
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
}

#[derive(Debug, Serialize)]
struct PageView<'a> {
    items: Vec<ProductView<'a>>,
    next_cursor: Option<&'a str>,
}

impl<'a> ProductView<'a> {
    fn new(product: &'a Product, currency: &'a str, stock: Option<i64>) -> Self {
        Self {
            id: &product.id,
            name: &product.name,
            description: &product.description,
            category: &product.category,
            price_cents: product.price_cents,
            currency,
            stock,
            version: product.version,
            updated_at: product.updated_at,
        }
    }
}

/// A product with its stock, as JSON.
pub(crate) fn product(product: &Product, currency: &str) -> Bytes {
    json(&ProductView::new(product, currency, Some(product.stock)))
}

/// A page of products, as JSON.
pub(crate) fn page(products: &[Product], next_cursor: Option<&str>, currency: &str) -> Bytes {
    let items = products
        .iter()
        .map(|product| ProductView::new(product, currency, None))
        .collect();
    json(&PageView { items, next_cursor })
}

/// A product's entity tag, without its quotes: version and stock decide the whole answer.
pub(crate) fn etag(product: &Product) -> String {
    format!("{}.{}", product.version, product.stock)
}

fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value)
        .expect("text, numbers and a time of this era always serialise")
        .into()
}
