//! The public door: routes, balances and protects.

pub mod balance;
pub mod breaker;
pub mod headers;
pub mod path;
pub mod retry;
pub mod routes;
pub mod trace;
