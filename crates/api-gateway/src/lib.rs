//! The public door: routes, balances and protects.
//!
//! Pure decisions have files of their own: [`path`], [`routes`], [`balance`], [`breaker`], [`retry`], [`headers`], [`trace`]. Around
//! them: [`worker`] (a thread per core, each with its listeners, runtime and [`pool`]), [`gateway`] (the tower service), [`forward`] (tries of an [`outgoing`] request),
//! [`upload`] and [`download`] (bodies),
//! [`cluster`] and [`endpoint`] (what workers share about services), [`discovery`] (what the registry says), [`admin`] (the other port).

pub mod admin;
pub mod balance;
pub mod body;
pub mod breaker;
pub mod cluster;
pub mod config;
pub mod discovery;
pub mod download;
pub mod endpoint;
pub mod forward;
pub mod gateway;
pub mod headers;
pub mod meters;
pub mod outgoing;
pub mod path;
pub mod pause;
pub mod pool;
pub mod retry;
pub mod routes;
pub mod state;
pub mod trace;
pub mod trouble;
pub mod upload;
pub mod worker;
