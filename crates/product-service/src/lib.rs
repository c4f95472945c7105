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
//! Queries are checked at compile time against the data in `.sqlx`. After changing one (or a migration), remake that data
//! against a server that has the migrations applied; from the workspace's root:
//!
//! ```text
//! touch crates/product-service/src/lib.rs && rm -f crates/product-service/.sqlx/*.json
//! SQLX_OFFLINE=false SQLX_OFFLINE_DIR="$PWD/crates/product-service/.sqlx" DATABASE_URL=postgres://... \
//!     cargo check -p product-service
//! ```

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
