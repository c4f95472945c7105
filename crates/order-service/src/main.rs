//! Entry point.

use std::process::ExitCode;

use common::service::{self, Context, Service};
use order_service::{Config, app, startup};

fn main() -> ExitCode {
    service::run(
        Service::new("order-service", 5000),
        |ctx: Context<Config>| async move {
            let state = startup::start(
                &ctx.config,
                &ctx.base.registry,
                &ctx.health,
                &ctx.shutdown.closing_token(),
            )?;
            ctx.serve(app(state.clone())).await?;
            // Steps under way end their transactions before the pool closes; what is cut off is recovered by another replica.
            state.saga.drain().await;
            state.store.close().await;
            Ok(())
        },
    )
}
