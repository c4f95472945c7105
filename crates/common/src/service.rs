//! The shared `main`: configuration, telemetry, runtime, signals, the end.

use std::error::Error;
use std::future::Future;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

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

    /// Says that serving has begun: from here on `/started` follows the first readiness. [`Context::serve`] does it.
    pub fn serving(&self) {
        self.health.serving();
    }

    /// The first stage of the end, for services that serve by themselves: unready, drained at the registry, then a moment
    /// for watchers to notice. Ends with [`Shutdown::close`].
    pub async fn leave(&self, registration: Option<&Registration>) {
        self.health.drain();
        if let Some(registration) = registration {
            registration.drain().await;
            tokio::time::sleep(self.base.http.linger_ms).await;
        }
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
        let serving = serve::serve(listeners, router, limits, self.shutdown.closing_token());
        let registration = match port {
            Some(port) => Registration::start(&self.base.registry, &self.identity, port)?,
            None => None,
        };
        self.serving();
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
        ["healthcheck"] => return healthcheck(service, &base),
        _ => {
            complain(&format!(
                "usage: {} [healthcheck]   (everything else is configured by the environment)",
                service.name
            ));
            return ExitCode::from(BAD_CONFIG);
        }
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

/// Asks `/started` of the running service, as a container's health check: no runtime, no client library.
fn healthcheck(service: Service, base: &Base) -> ExitCode {
    let listen = match service.admin_port {
        Some(port) => base.admin.listen_or(port),
        None => base.http.listen_or(service.port),
    };
    let outcome = serve::resolve(&listen)
        .map_err(BoxError::from)
        .and_then(|addresses| {
            let address = addresses
                .first()
                .copied()
                .ok_or("there is no address to ask")?;
            ask(reachable(address), "/started")
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{}: {error}", service.name));
            ExitCode::FAILURE
        }
    }
}

/// A wildcard address is reached by loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => (Ipv4Addr::LOCALHOST, v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, v6.port()).into(),
        other => other,
    }
}

fn ask(address: SocketAddr, path: &str) -> Result<(), BoxError> {
    let timeout = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.take(64 * 1024).read_to_end(&mut answer)?;
    let status = answer
        .split(|byte| *byte == b'\r')
        .next()
        .unwrap_or_default();
    if status.starts_with(b"HTTP/1.1 200") {
        Ok(())
    } else {
        Err(format!("{path} answered {:?}", String::from_utf8_lossy(status)).into())
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
