//! Orders, idempotent checkout and carts.
//!
//! An order is placed by a saga: stored as `pending` together with its idempotency key, its stock reserved at
//! product-service, then decided in one transaction. [`saga`] says why every crash in between is harmless.

pub mod answer;
pub mod api;
pub mod carts;
pub mod config;
pub mod domain;
pub mod products;
pub mod saga;
pub mod startup;
pub mod store;

pub use api::{AppState, app};
pub use config::Config;
