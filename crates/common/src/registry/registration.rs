//! Being found: one lease at every registry replica, renewed until the process drains and leaves.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Method;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::address::advertised;
use super::client::{CALL_TIMEOUT, PATIENCE, backoff, client};
use super::registrar::Registrar;
use super::resolve::RegistryUrl;
use super::{ServiceName, Ttl};
use crate::clock;
use crate::config::{ConfigError, RegistryConfig};
use crate::http_layer::Identity;

/// Our leases. Dropping it stops renewing; [`leave`](Self::leave) also says goodbye.
#[derive(Debug)]
pub struct Registration {
    registrar: Arc<Registrar>,
    stop: CancellationToken,
    renewing: Mutex<Option<JoinHandle<()>>>,
}

impl Registration {
    /// Starts registering in the background; `None` without a registry. A registry that is away never fails the service:
    /// it is tried again, quickly at first. Call within a tokio runtime.
    pub fn start(
        config: &RegistryConfig,
        identity: &Identity,
        port: u16,
    ) -> Result<Option<Self>, ConfigError> {
        let urls = RegistryUrl::parse_all(&config.urls)?;
        if urls.is_empty() {
            return Ok(None);
        }
        if config.advertise_cidr.is_some() {
            // The route to a registry plays no part with a CIDR, so that any address will do to ask.
            let anywhere = SocketAddr::from(([127, 0, 0, 1], 1));
            advertised(config.advertise_cidr, anywhere)
                .map_err(|error| ConfigError::new("registry.advertise_cidr", error.to_string()))?;
        }
        let millis = u64::try_from(config.ttl_ms.as_millis()).unwrap_or(u64::MAX);
        let ttl = Ttl::try_from(millis)
            .map_err(|message| ConfigError::new("registry.ttl_ms", message))?;
        if config.renew_ms.is_zero() || config.renew_ms * 2 > config.ttl_ms {
            return Err(ConfigError::new(
                "registry.renew_ms",
                "must be at most half of REGISTRY__TTL_MS",
            ));
        }
        let service: ServiceName = identity
            .service
            .parse()
            .expect("services of this project have valid names");
        let registrar = Arc::new(Registrar {
            client: client(),
            config: config.clone(),
            urls,
            path: format!("/v1/services/{service}/instances/{}", identity.instance),
            port,
            ttl,
            generation: AtomicU64::new(clock::unix_ms()),
            registered: Mutex::default(),
            passed: watch::Sender::new(false),
            asked: Notify::new(),
        });
        let stop = CancellationToken::new();
        let renewing = tokio::spawn(renew(Arc::clone(&registrar), stop.clone()));
        Ok(Some(Self {
            registrar,
            stop,
            renewing: Mutex::new(Some(renewing)),
        }))
    }

    /// Waits until a registry has passed this process once: it has dialled back, and those who watch are told. One is enough,
    /// as it is for those who read. Call when the process is ready: from then on the registry is asked soon and often.
    pub fn passed(&self) -> impl Future<Output = ()> + Send + use<> {
        let registrar = Arc::clone(&self.registrar);
        async move {
            let mut passed = registrar.passed.subscribe();
            registrar.asked.notify_one();
            let waited = passed.wait_for(|passed| *passed).await;
            waited.expect("its sender is the registrar's, which is here");
        }
    }

    /// Takes no new work: returns when every replica that answers has told its watchers (1 second at most).
    pub async fn drain(&self) {
        self.stop.cancel();
        let renewing = self
            .renewing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let drained = async {
            if let Some(renewing) = renewing {
                // A renewal under way that arrived after the goodbye would be a lease of a dead process.
                let _ = renewing.await;
            }
            self.registrar.tell(Method::POST, "/drain").await;
        };
        if tokio::time::timeout(CALL_TIMEOUT, drained).await.is_err() {
            tracing::warn!("the registry did not acknowledge the drain in time");
        }
    }

    /// Leaves every replica (1 second at most).
    pub async fn leave(self) {
        self.stop.cancel();
        let left = self.registrar.tell(Method::DELETE, "");
        if tokio::time::timeout(CALL_TIMEOUT, left).await.is_err() {
            tracing::warn!(
                "the registry did not acknowledge our leaving in time; the lease will expire"
            );
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Registers and renews everywhere, in rounds. A round that failed somewhere is repeated soon, and so is one that has not
/// brought what somebody waits for.
async fn renew(registrar: Arc<Registrar>, stop: CancellationToken) {
    let mut failed = 0;
    loop {
        let outcome = registrar.round().await;
        let awaited = registrar.is_awaited();
        failed = if outcome.is_ok() && !awaited {
            0
        } else {
            failed + 1
        };
        if awaited && failed == PATIENCE {
            let reason = outcome.err();
            let reason = reason.unwrap_or_else(|| "it has not been reached by any".into());
            tracing::warn!(
                path = registrar.path,
                reason,
                "no registry passes this instance: it has started when one does"
            );
        }
        let wait = if failed == 0 {
            registrar.config.renew_ms
        } else {
            backoff(failed).min(registrar.config.renew_ms)
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = registrar.asked.notified() => failed = 0,
            () = tokio::time::sleep(clock::jitter(wait, 0.1)) => {}
        }
    }
}
