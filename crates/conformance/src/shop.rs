//! A deployment as its customers see it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Url};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Answer, eventually, raw};

/// How long one request may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// A running deployment.
#[derive(Debug)]
pub struct Shop {
    base: Url,
    client: Client,
    admin_token: Option<String>,
}

/// Header fields of one request.
pub(crate) type Fields<'a> = &'a [(&'a str, &'a str)];

/// The body of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Body<'a> {
    /// None.
    Empty,
    /// A value, sent as `application/json`.
    Json(&'a Value),
    /// Bytes as they are; the content type is the caller's.
    Bytes(&'a [u8]),
}

impl Shop {
    /// A shop at `base_url` (`http://host:port`).
    ///
    /// # Errors
    /// When that is no such URL.
    pub fn new(base_url: &str, admin_token: Option<String>) -> Result<Self> {
        let base = Url::parse(base_url).with_context(|| format!("{base_url} is no URL"))?;
        ensure!(
            base.scheme() == "http" && base.has_host(),
            "{base_url}: expected http://host:port"
        );
        let client = Client::builder()
            .timeout(DEADLINE)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self {
            base,
            client,
            admin_token,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn base_url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Whether checks of the admin rules are possible.
    #[must_use]
    pub fn has_admin_token(&self) -> bool {
        self.admin_token.is_some()
    }

    /// `Bearer <token>`; nothing when no token was given.
    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.admin_token.as_deref().unwrap_or_default())
    }

    /// Sends a request and insists on what every answer has.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        fields: Fields<'_>,
        body: Body<'_>,
    ) -> Result<Answer> {
        let url = self
            .base
            .join(path)
            .with_context(|| format!("{path} is no path"))?;
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(
                HeaderName::try_from(*name)?,
                HeaderValue::from_bytes(value.as_bytes())?,
            );
        }
        let mut request = self.client.request(method.clone(), url);
        request = match body {
            Body::Empty => request,
            Body::Json(value) => request.json(value),
            Body::Bytes(bytes) => request.body(bytes.to_vec()),
        };
        let shown = format!("{method} {path}");
        let response = request
            .headers(headers)
            .send()
            .await
            .with_context(|| shown.clone())?;
        let (code, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response
            .bytes()
            .await
            .with_context(|| format!("{shown}: the body"))?
            .to_vec();
        Answer {
            request: shown,
            code,
            headers,
            body,
        }
        .ours()
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer> {
        self.get_with(path, &[]).await
    }

    pub(crate) async fn get_with(&self, path: &str, fields: Fields<'_>) -> Result<Answer> {
        self.send(Method::GET, path, fields, Body::Empty).await
    }

    pub(crate) async fn post(
        &self,
        path: &str,
        fields: Fields<'_>,
        body: &Value,
    ) -> Result<Answer> {
        self.send(Method::POST, path, fields, Body::Json(body))
            .await
    }

    /// A request line and path exactly as given: HTTP clients resolve dot segments before they send.
    pub(crate) async fn send_raw(
        &self,
        method: &str,
        path: &str,
        fields: Fields<'_>,
        body: &[u8],
    ) -> Result<Answer> {
        raw::send(&self.base, method, path, fields, body).await
    }

    /// A JSON object of a product.
    pub(crate) async fn product(&self, id: &str) -> Result<Value> {
        self.get(&format!("/api/products/{id}"))
            .await?
            .is(200)?
            .json()
    }

    /// Places an order of `items` (product id, quantity) for a customer nobody else has.
    pub(crate) async fn place(&self, items: &[(&str, i64)]) -> Result<Answer> {
        self.post(
            "/api/orders",
            &[("idempotency-key", &fresh_key())],
            &order_of(items),
        )
        .await
    }

    /// Cancels an order and insists that it is cancelled.
    pub(crate) async fn cancel(&self, id: &str) -> Result<Value> {
        let path = format!("/api/orders/{id}/cancel");
        let order = self
            .send(Method::POST, &path, &[], Body::Empty)
            .await?
            .is(200)?
            .json()?;
        ensure!(order["status"] == "cancelled", "{path}: {order}");
        Ok(order)
    }

    /// Waits until a product's stock is `expected`: other customers buy and cancel too.
    pub(crate) async fn stock_is(&self, id: &str, expected: i64) -> Result<()> {
        eventually(|| async {
            let product = self.product(id).await?;
            ensure!(
                product["stock"] == expected,
                "stock of {id}: expected {expected}, found {}",
                product["stock"]
            );
            Ok(())
        })
        .await
    }

    /// A product with between 20 and 900 pieces in stock: enough to buy, too few for the largest order. Random, so that
    /// a living shop's customers and another run of this suite are probably busy with others.
    pub(crate) async fn some_product(&self) -> Result<Value> {
        let list = self.get("/api/products?limit=100").await?.is(200)?.json()?;
        let items = list["items"].as_array().context("items is a list")?;
        ensure!(!items.is_empty(), "the shop sells nothing");
        let start = usize::from(Uuid::new_v4().into_bytes()[0]);
        for step in 0..items.len() {
            let id = text(&items[(start + step) % items.len()], "id")?;
            let product = self.product(id).await?;
            if (20..=900).contains(&integer(&product, "stock")?) {
                return Ok(product);
            }
        }
        anyhow::bail!("no product has between 20 and 900 pieces in stock")
    }
}

/// The body of an order by a customer nobody else has.
pub(crate) fn order_of(items: &[(&str, i64)]) -> Value {
    let items: Vec<Value> = items
        .iter()
        .map(|(id, quantity)| json!({"product_id": id, "quantity": quantity}))
        .collect();
    json!({"customer_id": fresh_customer(), "items": items})
}

/// An idempotency key nobody else uses.
pub(crate) fn fresh_key() -> String {
    Uuid::new_v4().to_string()
}

/// A customer nobody else is.
pub(crate) fn fresh_customer() -> String {
    format!("conformance-{}", Uuid::new_v4().simple())
}

/// A field that has to be text.
pub(crate) fn text<'a>(value: &'a Value, field: &str) -> Result<&'a str> {
    value[field]
        .as_str()
        .with_context(|| format!("`{field}` is no text in {value}"))
}

/// A field that has to be a whole number.
pub(crate) fn integer(value: &Value, field: &str) -> Result<i64> {
    value[field]
        .as_i64()
        .with_context(|| format!("`{field}` is no whole number in {value}"))
}

/// A field that has to be a list.
pub(crate) fn list<'a>(value: &'a Value, field: &str) -> Result<&'a Vec<Value>> {
    value[field]
        .as_array()
        .with_context(|| format!("`{field}` is no list in {value}"))
}

/// A field that has to be an RFC 3339 time in UTC.
pub(crate) fn utc_time(value: &Value, field: &str) -> Result<()> {
    let time = text(value, field)?;
    let bytes = time.as_bytes();
    let shaped = bytes.len() >= 20
        && bytes[4] == b'-'
        && bytes[7] == b'-'
        && bytes[10] == b'T'
        && bytes[13] == b':'
        && bytes[16] == b':';
    ensure!(
        shaped && time.ends_with('Z'),
        "`{field}` is no RFC 3339 time in UTC: {time}"
    );
    Ok(())
}
