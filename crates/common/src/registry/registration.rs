//! Being found: one lease at every registry replica, renewed until the process drains and leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::address::advertised;
use super::client::{CALL_TIMEOUT, backoff, client, url};
use super::resolve::{RegistryUrl, replicas};
use super::{PutInstance, ServiceName, Ttl};
use crate::auth;
use crate::clock;
use crate::config::{ConfigError, RegistryConfig};
use crate::http_layer::Identity;
use crate::problem::Chain;

/// Our leases. Dropping it stops renewing; [`leave`](Self::leave) also says goodbye.
#[derive(Debug)]
pub struct Registration {
    registrar: Arc<Registrar>,
    stop: CancellationToken,
    renewing: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Registrar {
    client: reqwest::Client,
    config: RegistryConfig,
    urls: Vec<RegistryUrl>,
    path: String,
    port: u16,
    ttl: Ttl,
    generation: AtomicU64,
    /// Where a lease of ours may be.
    registered: Mutex<BTreeSet<SocketAddr>>,
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
        });
        let stop = CancellationToken::new();
        let renewing = tokio::spawn(renew(Arc::clone(&registrar), stop.clone()));
        Ok(Some(Self {
            registrar,
            stop,
            renewing: Mutex::new(Some(renewing)),
        }))
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

/// Registers and renews everywhere, in rounds. A round that failed somewhere is repeated soon.
async fn renew(registrar: Arc<Registrar>, stop: CancellationToken) {
    let mut failed = 0;
    loop {
        let complete = registrar.round().await;
        failed = if complete { 0 } else { failed + 1 };
        let wait = if complete {
            registrar.config.renew_ms
        } else {
            backoff(failed).min(registrar.config.renew_ms)
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(clock::jitter(wait, 0.1)) => {}
        }
    }
}

impl Registrar {
    /// One PUT to every replica at once. Whether there was one and all said yes.
    async fn round(&self) -> bool {
        let targets = replicas(&self.urls).await;
        let outcomes = join_all(targets.iter().map(|replica| self.put(*replica))).await;
        let mut registered = self
            .registered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut complete = !outcomes.is_empty();
        for (replica, outcome) in targets.iter().zip(outcomes) {
            match outcome {
                Ok(()) => {
                    if registered.insert(*replica) {
                        tracing::info!(%replica, path = self.path, "registered");
                    }
                }
                Err(error) => {
                    complete = false;
                    if registered.remove(replica) {
                        tracing::warn!(%replica, error, "cannot renew at the registry");
                    } else {
                        tracing::debug!(%replica, error, "cannot register");
                    }
                }
            }
        }
        complete
    }

    async fn put(&self, replica: SocketAddr) -> Result<(), String> {
        let address =
            advertised(self.config.advertise_cidr, replica).map_err(|error| error.to_string())?;
        // A second try with the next generation, when the registry knows a newer one (a clock that was set back).
        for _ in 0..2 {
            let generation = self.generation.load(Ordering::Relaxed);
            let body = PutInstance {
                service: None,
                id: None,
                address,
                port: self.port,
                generation,
                metadata: BTreeMap::new(),
                ttl: self.ttl,
            };
            let answer = self
                .request(Method::PUT, replica, "")
                .json(&body)
                .send()
                .await;
            let answer = answer.map_err(|error| Chain(&error).to_string())?;
            match answer.status() {
                StatusCode::CONFLICT => {
                    let known = answer.json::<serde_json::Value>().await.ok();
                    let known = known
                        .and_then(|problem| problem.get("generation")?.as_u64())
                        .unwrap_or(generation);
                    tracing::warn!(%replica, known, ours = generation, "the registry knows a newer generation");
                    self.generation
                        .fetch_max(known.saturating_add(1), Ordering::Relaxed);
                }
                status if status.is_success() => return Ok(()),
                status => {
                    let text = answer.text().await.unwrap_or_default();
                    return Err(format!(
                        "{status}: {}",
                        text.chars().take(300).collect::<String>()
                    ));
                }
            }
        }
        Err("another process keeps registering the same instance id".into())
    }

    /// Tells every replica that may hold a lease of ours.
    async fn tell(&self, method: Method, suffix: &str) {
        let targets = self
            .registered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let suffix = format!(
            "{suffix}?generation={}",
            self.generation.load(Ordering::Relaxed)
        );
        let calls = targets.iter().map(async |replica| {
            if let Err(error) = self.request(method.clone(), *replica, &suffix).send().await {
                tracing::debug!(%replica, error = %Chain(&error), "the registry did not answer");
            }
        });
        join_all(calls).await;
    }

    fn request(
        &self,
        method: Method,
        replica: SocketAddr,
        suffix: &str,
    ) -> reqwest::RequestBuilder {
        let request = self
            .client
            .request(method, url(replica, &format!("{}{suffix}", self.path)));
        let request = request.timeout(CALL_TIMEOUT);
        match &self.config.token {
            Some(token) => request.bearer_auth(auth::first(token)),
            None => request,
        }
    }
}
