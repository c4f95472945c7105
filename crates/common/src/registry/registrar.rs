//! The calls of a registration: what is asked of every replica, and what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use tokio::sync::{Notify, watch};

use super::address::advertised;
use super::client::{CALL_TIMEOUT, url};
use super::resolve::{RegistryUrl, replicas};
use super::{Accepted, PutInstance, State, Ttl};
use crate::auth;
use crate::config::RegistryConfig;
use crate::problem::Chain;

/// Who calls, and what the calls have brought.
#[derive(Debug)]
pub(super) struct Registrar {
    pub(super) client: reqwest::Client,
    pub(super) config: RegistryConfig,
    pub(super) urls: Vec<RegistryUrl>,
    pub(super) path: String,
    pub(super) port: u16,
    pub(super) ttl: Ttl,
    pub(super) generation: AtomicU64,
    /// Where a lease of ours may be.
    pub(super) registered: Mutex<BTreeSet<SocketAddr>>,
    /// Whether a replica has ever said that this process passes. Somebody waits for it while there are receivers.
    pub(super) passed: watch::Sender<bool>,
    /// Somebody has begun to wait.
    pub(super) asked: Notify,
}

impl Registrar {
    pub(super) fn is_awaited(&self) -> bool {
        self.passed.receiver_count() > 0 && !*self.passed.borrow()
    }

    /// One PUT to every replica at once. Ok when there was one and all said yes.
    pub(super) async fn round(&self) -> Result<(), String> {
        let targets = replicas(&self.urls).await;
        let outcomes = join_all(targets.iter().map(|replica| self.put(*replica))).await;
        let mut registered = self
            .registered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut complete = match outcomes.is_empty() {
            true => Err("its name has no address".to_owned()),
            false => Ok(()),
        };
        for (replica, outcome) in targets.iter().zip(outcomes) {
            match outcome {
                Ok(state) => {
                    if state == Some(State::Passing) && !self.passed.send_replace(true) {
                        tracing::info!(%replica, path = self.path, "passing");
                    }
                    if registered.insert(*replica) {
                        tracing::info!(%replica, path = self.path, "registered");
                    }
                }
                Err(error) => {
                    if registered.remove(replica) {
                        tracing::warn!(%replica, error, "cannot renew at the registry");
                    } else {
                        tracing::debug!(%replica, error, "cannot register");
                    }
                    complete = Err(error);
                }
            }
        }
        complete
    }

    /// Registers or renews at one replica; what it takes our state to be.
    async fn put(&self, replica: SocketAddr) -> Result<Option<State>, String> {
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
                status if status.is_success() => {
                    // A later registry may know states that we do not: registered we are all the same.
                    let accepted = answer.json::<Accepted>().await.ok();
                    return Ok(accepted.and_then(|accepted| accepted.state));
                }
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
    pub(super) async fn tell(&self, method: Method, suffix: &str) {
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
