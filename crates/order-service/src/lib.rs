//! Orders, idempotent checkout and carts.
//!
//! An order is placed by a saga: stored as `pending` together with its idempotency key, its stock reserved at
//! product-service, then decided in one transaction. [`saga`] says why every crash in between is harmless.
//!
//! | module | subject |
//! | --- | --- |
//! | [`domain`] | orders and requests, checked at the edge; pure |
//! | [`saga`] | from accepted to decided; the policy ([`saga::decide`]) is pure |
//! | [`store`] | SQL |
//! | [`carts`] | sessions and carts in Redis |
//! | [`products`] | the client of product-service |
//! | [`api`] | the routes |
//! | [`startup`] | from configuration to a working state |
//!
//! Queries are checked at compile time against the data in `.sqlx`; `make sqlx-prepare` remakes it after a query or a
//! migration has changed.

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
