//! Entry point.

use std::process::ExitCode;

use common::service::{self, Context, Service};
use service_registry::api::{AppState, app};
use service_registry::config::Config;
use service_registry::registry::Registry;

fn main() -> ExitCode {
    service::run(
        Service::new("service-registry", 8500),
        |ctx: Context<Config>| async move {
            let registry = Registry::start(ctx.config.limits());
            let state = AppState::new(
                registry,
                &ctx.config,
                ctx.base.registry.token.clone(),
                ctx.shutdown.closing_token(),
            );
            ctx.serve(app(state)).await
        },
    )
}
