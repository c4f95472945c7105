//! What every Underlay service shares: configuration, telemetry, lifecycle, serving, problems, health, the registry client.
//!
//! A service's `main.rs`:
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use axum::{Router, extract::State, routing::get};
//! use common::config::{DatabaseConfig, ServiceConfig};
//! use common::problem::{JsonBody, Problem, Slug};
//! use common::service::{self, Context, Service};
//!
//! #[derive(Debug, Default, serde::Deserialize)]
//! #[serde(default, deny_unknown_fields)]
//! struct Config {
//!     database: DatabaseConfig,         // DATABASE_URL or DATABASE__*
//! }
//!
//! impl ServiceConfig for Config {}
//!
//! #[derive(Clone)]
//! struct AppState;
//!
//! fn main() -> ExitCode {
//!     service::run(Service::new("example-service", 5000), |ctx: Context<Config>| async move {
//!         let _url = ctx.config.database.runtime_url()?;
//!         let postgres = ctx.health.dependency("postgres"); // unready until the first ok()
//!         tokio::spawn(async move {
//!             postgres.ok(); // after the pool has answered; postgres.failed(&error) otherwise, then try again
//!         });
//!         // Listens, registers, serves until a signal, drains, leaves.
//!         ctx.serve(app(AppState)).await
//!     })
//! }
//!
//! fn app(state: AppState) -> Router {
//!     Router::new().route("/things/{id}", get(thing)).with_state(state)
//! }
//!
//! async fn thing(State(_state): State<AppState>) -> Result<&'static str, Problem> {
//!     Err(Problem::new(Slug::NotFound).detail("there is no such thing"))
//! }
//! ```

pub mod auth;
pub mod clock;
pub mod config;
pub mod health;
pub mod http_layer;
pub mod lifecycle;
pub mod problem;
pub mod registry;
pub mod serve;
pub mod service;
pub mod sqlstate;
pub mod telemetry;
