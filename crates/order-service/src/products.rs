//! product-service as this service sees it: prices and stock.
//!
//! Requests go to the passing instances in turn. One that cannot be connected to is passed over for the next, since the
//! request never left; so is one that fails a read. Any other failure is reported to the caller, who has to remember that
//! the request may have arrived.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use common::http_layer::RequestContext;
use http::HeaderMap;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    domain::{Item, Shortage},
    saga::decide::Reservation,
};

mod instances;

pub use instances::Instances;

/// A connection inside one data centre is made in a millisecond or not at all.
const CONNECT: Duration = Duration::from_millis(500);
/// One whole exchange. Longer than product-service's own wait for a row lock.
const EXCHANGE: Duration = Duration::from_secs(2);
/// Most instances tried for one call.
const TRIES: usize = 3;
/// How long an unused connection is kept; below every server's own idle deadline, so that it is not closed under a request.
const POOL_IDLE: Duration = Duration::from_secs(20);

/// A client of product-service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Products {
    http: reqwest::Client,
    instances: Instances,
    turn: Arc<AtomicUsize>,
}

/// What a cart shows of a product.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Product {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its price in minor units.
    pub price_cents: i64,
    /// ISO 4217 code.
    pub currency: String,
}

/// product-service gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum ProductsError {
    /// No instance is known to be passing.
    #[error("no instance of product-service is known")]
    NoInstance,
    /// Nobody answered, or the answer was lost.
    #[error("product-service did not answer")]
    NoAnswer(#[source] reqwest::Error),
    /// The answer is none that this version understands.
    #[error("product-service answered {0}")]
    Unexpected(StatusCode),
}

#[derive(Serialize)]
struct ReservationRequest<'a> {
    items: Vec<ReservationLine<'a>>,
}

#[derive(Serialize)]
struct ReservationLine<'a> {
    product_id: &'a str,
    quantity: u32,
}

/// The members of product-service's problems that decide something; all others are ignored.
#[derive(Deserialize)]
struct Refusal {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    short: Option<Vec<Shortage>>,
    #[serde(default)]
    errors: Vec<FieldRefusal>,
}

#[derive(Deserialize)]
struct FieldRefusal {
    #[serde(default)]
    pointer: String,
}

impl Products {
    /// A client for the given instances.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub fn new(instances: Instances) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .timeout(EXCHANGE)
            .pool_idle_timeout(POOL_IDLE)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self {
            http,
            instances,
            turn: Arc::default(),
        })
    }

    /// Asks for the stock of an order. Repeating it is harmless. Never an error: not knowing is an outcome.
    pub async fn reserve(&self, id: Uuid, items: &[Item]) -> Reservation {
        let lines = items
            .iter()
            .map(|item| ReservationLine {
                product_id: &item.product_id,
                quantity: item.quantity,
            })
            .collect();
        let body = ReservationRequest { items: lines };
        let answer = self
            .send(Method::PUT, &format!("/reservations/{id}"), |request| {
                request.json(&body)
            })
            .await;
        let reservation = match answer {
            Ok(response) => understand(response).await,
            Err(error) => Err(error),
        };
        reservation.unwrap_or_else(|error| {
            tracing::warn!(order.id = %id, error = &error as &dyn std::error::Error, "the reservation's outcome is unknown");
            Reservation::Unknown
        })
    }

    /// Returns the stock of an order and leaves a tombstone; `true` once product-service has confirmed it.
    pub async fn release(&self, id: Uuid) -> bool {
        match self
            .send(Method::DELETE, &format!("/reservations/{id}"), |request| {
                request
            })
            .await
        {
            Ok(response) if response.status().is_success() => true,
            Ok(response) => {
                tracing::warn!(order.id = %id, status = response.status().as_u16(), "a release was refused");
                false
            }
            Err(error) => {
                tracing::warn!(order.id = %id, error = &error as &dyn std::error::Error, "a release was not confirmed");
                false
            }
        }
    }

    /// One product, or `None` when there is none (any more).
    ///
    /// # Errors
    /// [`ProductsError`].
    pub async fn product(&self, id: &str) -> Result<Option<Product>, ProductsError> {
        let response = self
            .send(Method::GET, &format!("/products/{id}"), |request| request)
            .await?;
        match response.status() {
            StatusCode::OK => response
                .json()
                .await
                .map(Some)
                .map_err(ProductsError::NoAnswer),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(ProductsError::Unexpected(status)),
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        with: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Response, ProductsError> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let repeatable = method == Method::GET;
        let mut failure = ProductsError::NoInstance;
        for base in self.instances.for_turn(turn, TRIES) {
            let mut request = self.http.request(method.clone(), format!("{base}{path}"));
            if let Some(context) = RequestContext::current() {
                let mut headers = HeaderMap::new();
                context.write(&mut headers);
                request = request.headers(headers);
            }
            match with(request).send().await {
                // An instance that is ending says so; reading from another is harmless.
                Ok(response)
                    if repeatable && response.status() == StatusCode::SERVICE_UNAVAILABLE =>
                {
                    failure = ProductsError::Unexpected(response.status());
                }
                Ok(response) => return Ok(response),
                Err(error) if repeatable || error.is_connect() => {
                    failure = ProductsError::NoAnswer(error);
                }
                Err(error) => return Err(ProductsError::NoAnswer(error)),
            }
        }
        Err(failure)
    }
}

/// Reads the answer to a reservation request.
async fn understand(response: Response) -> Result<Reservation, ProductsError> {
    let status = response.status();
    match status {
        StatusCode::OK => response
            .json()
            .await
            .map(Reservation::Held)
            .map_err(ProductsError::NoAnswer),
        StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => {
            let refusal: Refusal = response.json().await.map_err(ProductsError::NoAnswer)?;
            refusal
                .meaning(status)
                .ok_or(ProductsError::Unexpected(status))
        }
        status => Err(ProductsError::Unexpected(status)),
    }
}

impl Refusal {
    fn meaning(self, status: StatusCode) -> Option<Reservation> {
        if status == StatusCode::UNPROCESSABLE_ENTITY {
            let positions: Vec<_> = self
                .errors
                .iter()
                .filter_map(|error| product_position(&error.pointer))
                .collect();
            return (!positions.is_empty()).then_some(Reservation::UnknownProducts(positions));
        }
        match self.short {
            Some(short) => Some(Reservation::Short(short)),
            None => self
                .kind
                .starts_with("urn:underlay:problem:")
                .then_some(Reservation::Refused),
        }
    }
}

/// The N of `/items/N/product_id`.
fn product_position(pointer: &str) -> Option<usize> {
    pointer
        .strip_prefix("/items/")?
        .strip_suffix("/product_id")?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests;
