//! The product service: the catalogue in PostgreSQL (database `catalog`), a cache in Redis before it, and the stock that
//! orders reserve.
//!
//! | module | subject |
//! | --- | --- |
//! | [`domain`], [`search`], [`cursor`] | values parsed at the edge; pure |
//! | [`store`] | SQL |
//! | [`cache`] | Redis, and why it is never stale |
//! | [`shop`] | reads through the cache, writes around it |
//! | [`app`] | the routes |
//! | [`serve`] | from configuration to a serving process |
//!
//! Queries are checked at compile time against the data in `.sqlx`; `make sqlx-prepare` remakes it after a query or a
//! migration has changed.

pub mod cache;
pub mod config;
pub mod cursor;
pub mod domain;
pub mod failure;
mod routes;
pub mod search;
pub mod shop;
mod startup;
pub mod store;
mod view;

pub use self::routes::{AppState, app};
pub use self::startup::serve;
