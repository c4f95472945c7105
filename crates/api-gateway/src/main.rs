//! Entry point of the API gateway.

use std::process::ExitCode;

use api_gateway::config::{Config, RequestLimits};
use api_gateway::state::Shared;
use api_gateway::worker::{self, Workers};
use api_gateway::{admin, discovery};
use common::lifecycle::Shutdown;
use common::serve::{self, Limits};
use common::service::{self, BoxError, Context, Service};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The shared runtime only watches the registry and serves the admin side: requests have threads of their own.
const SERVICE: Service = Service::new("api-gateway", 3000)
    .with_admin(3001)
    .with_workers(1);

fn main() -> ExitCode {
    service::run(SERVICE, run)
}

async fn run(ctx: Context<Config>) -> Result<(), BoxError> {
    let (http, admin) = (&ctx.base.http, &ctx.base.admin);
    let instance = ctx.identity.instance.as_str().parse()?;
    let shared = Shared::new(ctx.config.clone(), RequestLimits::from(http), instance);
    let registry = ctx.health.dependency("service-registry");

    let admin_listeners = serve::bind(&ctx.admin_addresses()?)?;
    let admin_router = ctx.complete(admin::routes(shared.clone()));
    let (addresses, count) = (ctx.addresses()?, worker::count(ctx.base.workers));
    let mut workers = Workers::start(&addresses, count, &shared, http, &ctx.shutdown)?;
    for address in workers.addresses() {
        tracing::info!(%address, "listening");
    }

    let watch = discovery::watch(&ctx.base.registry, &shared)?;
    tokio::spawn(discovery::follow(watch, shared, registry));
    ctx.serving(None);
    // The admin side is never closed: it shows the end of the last request, and ends with the process.
    let admin_limits = Limits::from(admin);
    tokio::spawn(serve::serve(
        admin_listeners,
        admin_router,
        admin_limits,
        Shutdown::new(),
    ));
    ctx.shutdown.begun().await;
    ctx.leave(None).await;
    workers.ended().await;
    Ok(())
}
