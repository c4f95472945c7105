//! The shared `main`: configuration, telemetry, runtime, signals, the end.

mod healthcheck;

use std::error::Error;
use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use self::healthcheck::healthcheck;
use crate::config::{self, Base, ConfigError, ServiceConfig};
use crate::health::{self, Health};
use crate::http_layer::{self, Identity};
use crate::lifecycle::{self, Shutdown};
use crate::problem::Chain;
use crate::registry::{InstanceId, Registration};
use crate::serve::{self, BindError, Limits};
use crate::telemetry::{self, Metrics};

/// `EX_USAGE` of sysexits.h.
const BAD_CONFIG: u8 = 64;

/// Anything that ends a service early.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// What is fixed about a service at compile time.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    name: &'static str,
    port: u16,
    admin_port: Option<u16>,
    workers: usize,
}

impl Service {
    /// A service that listens on loopback at `port` unless `HTTP__LISTEN` says otherwise.
    pub const fn new(name: &'static str, port: u16) -> Self {
        Self {
            name,
            port,
            admin_port: None,
            workers: 2,
        }
    }

    /// It has an admin side (`ADMIN__LISTEN`), which is also what `healthcheck` asks.
    pub const fn with_admin(mut self, port: u16) -> Self {
        self.admin_port = Some(port);
        self
    }

    /// Threads of the shared runtime unless `WORKERS` says otherwise; 2 by default.
    pub const fn with_workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }
}

/// What a service's main function gets.
#[derive(Debug)]
pub struct Context<C> {
    /// The service's own configuration.
    pub config: C,
    /// What all services share.
    pub base: Base,
    /// Who we are.
    pub identity: Identity,
    /// Dependencies are reported here.
    pub health: Health,
    /// When to end.
    pub shutdown: Shutdown,
    /// The process's metrics.
    pub metrics: Metrics,
    service: Service,
}

impl<C> Context<C> {
    /// `router` with the health routes and everything of [`http_layer`].
    pub fn complete(&self, router: Router) -> Router {
        let health = health::routes(
            self.health.clone(),
            self.identity.clone(),
            self.metrics.clone(),
        );
        http_layer::wrap(router.merge(health), &self.identity, &self.base.http)
    }

    /// Opens the listeners of `HTTP__LISTEN`.
    pub fn bind(&self) -> Result<Vec<std::net::TcpListener>, BindError> {
        serve::bind(&self.addresses()?)
    }

    /// The addresses of `HTTP__LISTEN`.
    pub fn addresses(&self) -> Result<Vec<SocketAddr>, BindError> {
        serve::resolve(&self.base.http.listen_or(self.service.port))
    }

    /// The addresses of `ADMIN__LISTEN`.
    pub fn admin_addresses(&self) -> Result<Vec<SocketAddr>, BindError> {
        serve::resolve(
            &self
                .base
                .admin
                .listen_or(self.service.admin_port.unwrap_or(0)),
        )
    }

    /// Says that serving has begun: from here on `/started` follows the first readiness and, for who registers, the
    /// registry's word that this instance passes. [`Context::serve`] does it.
    pub fn serving(&self, registration: Option<&Registration>) {
        match registration {
            Some(registration) => self.health.serving(registration.passed()),
            None => self.health.serving(std::future::ready(())),
        }
    }

    /// The first stage of the end, for services that serve by themselves: unready, drained at the registry, then a moment
    /// for watchers to notice, and for clients that keep connections to be told. Ends with [`Shutdown::close`].
    pub async fn leave(&self, registration: Option<&Registration>) {
        self.health.drain();
        if let Some(registration) = registration {
            registration.drain().await;
        }
        tokio::time::sleep(self.base.http.linger_ms).await;
        self.shutdown.close();
    }

    /// Listens, registers (if there is a registry), serves until a signal, drains, leaves.
    pub async fn serve(&self, router: Router) -> Result<(), BoxError> {
        let listeners = self.bind()?;
        let port = listeners
            .first()
            .and_then(|listener| listener.local_addr().ok())
            .map(|address| address.port());
        for listener in &listeners {
            tracing::info!(address = %listener.local_addr()?, service = self.service.name, "listening");
        }
        let router = self.complete(router);
        let limits = Limits::from(&self.base.http);
        let serving = serve::serve(listeners, router, limits, self.shutdown.clone());
        let registration = match port {
            Some(port) => Registration::start(&self.base.registry, &self.identity, port)?,
            None => None,
        };
        self.serving(registration.as_ref());
        let ending = async {
            self.shutdown.begun().await;
            self.leave(registration.as_ref()).await;
        };
        let (served, ()) = tokio::join!(serving, ending);
        if let Some(registration) = registration {
            registration.leave().await;
        }
        Ok(served?)
    }
}

/// Runs a service; the body of its `main`. Exit codes: 0 after a clean end, 64 for a bad configuration or argument
/// (before any port is bound), 1 for anything else.
pub fn run<C, F, Fut>(service: Service, main: F) -> ExitCode
where
    C: ServiceConfig,
    F: FnOnce(Context<C>) -> Fut,
    Fut: Future<Output = Result<(), BoxError>>,
{
    let (base, own) = match config::load::<C>() {
        Ok(loaded) => loaded,
        Err(error) => return bad_config(service, &error),
    };
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {}
        ["healthcheck"] => {
            return match healthcheck(service, &base) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    complain(&format!("{}: {error}", service.name));
                    ExitCode::FAILURE
                }
            };
        }
        _ => {
            complain(&format!(
                "usage: {} [healthcheck]   (everything else is configured by the environment)",
                service.name
            ));
            return ExitCode::from(BAD_CONFIG);
        }
    }
    if service.admin_port.is_none() && !base.admin.listen.is_empty() {
        return bad_config(
            service,
            &ConfigError::new("admin.listen", "this service has no admin side"),
        );
    }
    if let Err(error) = telemetry::init_logs(&base) {
        return bad_config(service, &error);
    }
    match start(service, base, own, main) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<ConfigError>() {
            Some(error) => bad_config(service, error),
            None => {
                tracing::error!(error = %Chain(error.as_ref()), service = service.name, "cannot go on");
                ExitCode::FAILURE
            }
        },
    }
}

fn start<C, F, Fut>(service: Service, base: Base, config: C, main: F) -> Result<(), BoxError>
where
    C: ServiceConfig,
    F: FnOnce(Context<C>) -> Fut,
    Fut: Future<Output = Result<(), BoxError>>,
{
    allow_open_files();
    let workers = base.workers.unwrap_or(service.workers);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()?;
    let instance = match &base.instance_id {
        Some(id) => id.clone(),
        None => InstanceId::from_hostname(&nix::unistd::gethostname()?.to_string_lossy()),
    };
    let (shutdown, metrics, deadline) = (Shutdown::new(), Metrics::install(), base.shutdown_ms);
    let context = Context {
        config,
        base,
        identity: Identity {
            service: service.name,
            instance,
        },
        health: Health::new(),
        shutdown: shutdown.clone(),
        metrics: metrics.clone(),
        service,
    };
    let outcome = runtime.block_on(async {
        lifecycle::watch_signals(shutdown.clone())?;
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(20)).await;
                metrics.upkeep();
            }
        });
        let overdue = async {
            shutdown.begun().await;
            tokio::time::sleep(deadline).await;
        };
        tokio::select! {
            outcome = main(context) => outcome,
            () = overdue => Err("the shutdown deadline passed with work still in flight".into()),
        }
    });
    // Background tasks are cancelled here, and the pools that they hold are closed with them.
    runtime.shutdown_timeout(Duration::from_secs(1));
    if outcome.is_ok() {
        tracing::info!(service = service.name, "ended");
    }
    outcome
}

/// Every connection is an open file, and the customary soft limit (1024) is there for programs that use select(2).
fn allow_open_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

fn bad_config(service: Service, error: &ConfigError) -> ExitCode {
    complain(&format!("{}: bad configuration: {error}", service.name));
    ExitCode::from(BAD_CONFIG)
}

/// Logging may not be set up yet (or is what is wrong).
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
