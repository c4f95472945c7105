//! Entry point.

use std::process::ExitCode;

use axum::Router;
use common::config::NoConfig;
use common::service::{self, Context, Service};

fn main() -> ExitCode {
    service::run(
        Service::new("service-registry", 8500),
        |ctx: Context<NoConfig>| async move { ctx.serve(Router::new()).await },
    )
}
