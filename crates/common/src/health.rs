//! `/health` (alive; touches no dependency), `/ready` (every dependency answers), `/started` (was ready once, and could be
//! found from then on: what `healthcheck` asks, so that no outage later gets instances killed), `/metrics`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use http::{StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::http_layer::Identity;
use crate::telemetry::Metrics;

/// The service's own view of whether it can work. Clones share the state.
#[derive(Debug, Clone)]
pub struct Health(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<HealthState>,
    ready: watch::Sender<bool>,
    started: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct HealthState {
    dependencies: BTreeMap<&'static str, Dependency>,
    draining: bool,
}

#[derive(Debug)]
struct Dependency {
    required: bool,
    /// `None` until the first report.
    outcome: Option<Result<(), String>>,
}

impl Default for Health {
    fn default() -> Self {
        let shared = Shared {
            state: Mutex::default(),
            ready: watch::Sender::new(true),
            started: watch::Sender::new(false),
        };
        Self(Arc::new(shared))
    }
}

impl Health {
    /// Ready, until a dependency is named.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names something without which the service cannot work: unready until its first `ok()`, and after `failed()`.
    /// Name all of them before serving.
    pub fn dependency(&self, name: &'static str) -> DependencyHandle {
        self.add(name, true)
    }

    /// Names something that is shown in `/ready` and never makes the service unready.
    pub fn optional(&self, name: &'static str) -> DependencyHandle {
        self.add(name, false)
    }

    fn add(&self, name: &'static str, required: bool) -> DependencyHandle {
        self.state().dependencies.insert(
            name,
            Dependency {
                required,
                outcome: None,
            },
        );
        self.publish();
        DependencyHandle {
            health: self.clone(),
            name,
        }
    }

    /// The service is going away: unready from now on.
    pub fn drain(&self) {
        self.state().draining = true;
        self.publish();
    }

    /// Whether everything required answers.
    pub fn is_ready(&self) -> bool {
        *self.0.ready.borrow()
    }

    /// Follows readiness.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.0.ready.subscribe()
    }

    /// Whether the service was ready at least once since it began to serve, and found then. Never taken back.
    pub fn is_started(&self) -> bool {
        *self.0.started.borrow()
    }

    /// Serving has begun: from here on the first readiness is waited for, and then `found`. Whoever replaces instances
    /// takes an old one away once its successor has started: by then the others must know the successor.
    pub(crate) fn serving(&self, found: impl Future<Output = ()> + Send + 'static) {
        let health = self.clone();
        tokio::spawn(async move {
            let mut ready = health.watch();
            if ready.wait_for(|ready| *ready).await.is_ok() {
                found.await;
                health.0.started.send_replace(true);
            }
        });
    }

    fn state(&self) -> MutexGuard<'_, HealthState> {
        // The state is a few plain values: a panic elsewhere cannot leave it half-written.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self) {
        let state = self.state();
        let answers = |dependency: &Dependency| {
            !dependency.required || matches!(dependency.outcome, Some(Ok(())))
        };
        let ready = !state.draining && state.dependencies.values().all(answers);
        self.0
            .ready
            .send_if_modified(|current| std::mem::replace(current, ready) != ready);
    }

    fn report(&self) -> Value {
        let state = self.state();
        let dependencies: serde_json::Map<_, _> = state
            .dependencies
            .iter()
            .map(|(name, dependency)| {
                let value = match &dependency.outcome {
                    None => json!({ "status": "waiting", "required": dependency.required }),
                    Some(Ok(())) => json!({ "status": "ok", "required": dependency.required }),
                    Some(Err(detail)) => {
                        json!({ "status": "failed", "required": dependency.required, "detail": detail })
                    }
                };
                ((*name).to_owned(), value)
            })
            .collect();
        let status = match (state.draining, self.is_ready()) {
            (true, _) => "draining",
            (false, true) => "ready",
            (false, false) => "unready",
        };
        json!({ "status": status, "dependencies": dependencies })
    }
}

/// Where a dependency's state is reported.
#[derive(Debug, Clone)]
pub struct DependencyHandle {
    health: Health,
    name: &'static str,
}

impl DependencyHandle {
    /// It answers.
    pub fn ok(&self) {
        self.set(Ok(()));
    }

    /// It does not. The text is public on `/ready`: no secrets. A change is logged, a repetition is not.
    pub fn failed(&self, error: impl Display) {
        self.set(Err(error.to_string()));
    }

    fn set(&self, outcome: Result<(), String>) {
        let mut state = self.health.state();
        let Some(dependency) = state.dependencies.get_mut(self.name) else {
            return;
        };
        let changed = dependency.outcome.as_ref().map(Result::is_ok) != Some(outcome.is_ok());
        match (&outcome, changed) {
            (Ok(()), true) => tracing::info!(dependency = self.name, "dependency answers"),
            (Err(error), true) => {
                tracing::warn!(dependency = self.name, error, "dependency does not answer");
            }
            _ => {}
        }
        dependency.outcome = Some(outcome);
        drop(state);
        self.health.publish();
    }
}

#[derive(Debug, Clone)]
struct HealthRoutes {
    health: Health,
    identity: Identity,
    metrics: Metrics,
}

/// The four routes, for a service's own listener or for an admin side.
pub fn routes(health: Health, identity: Identity, metrics: Metrics) -> Router {
    Router::new()
        .route("/health", get(alive))
        .route("/ready", get(ready))
        .route("/started", get(started))
        .route("/metrics", get(render_metrics))
        .with_state(HealthRoutes {
            health,
            identity,
            metrics,
        })
}

async fn alive(State(routes): State<HealthRoutes>) -> Json<Value> {
    let Identity { service, instance } = &routes.identity;
    Json(json!({ "status": "healthy", "service": service, "instance": instance }))
}

async fn ready(State(routes): State<HealthRoutes>) -> (StatusCode, Json<Value>) {
    (
        status(routes.health.is_ready()),
        Json(routes.health.report()),
    )
}

async fn started(State(routes): State<HealthRoutes>) -> (StatusCode, Json<Value>) {
    let started = routes.health.is_started();
    (status(started), Json(json!({ "started": started })))
}

async fn render_metrics(
    State(routes): State<HealthRoutes>,
) -> ([(header::HeaderName, &'static str); 1], String) {
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        routes.metrics.render(),
    )
}

fn status(good: bool) -> StatusCode {
    if good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ready_needs_every_required_dependency_and_started_stays() {
        let health = Health::new();
        let (postgres, redis) = (health.dependency("postgres"), health.optional("redis"));
        let (find, found) = tokio::sync::oneshot::channel();
        health.serving(async { found.await.unwrap() });
        assert!(!health.is_ready());
        redis.failed("away");
        postgres.ok();
        assert!(health.is_ready());
        tokio::task::yield_now().await;
        assert!(!health.is_started(), "nobody can find it");
        find.send(()).unwrap();
        health
            .0
            .started
            .subscribe()
            .wait_for(|started| *started)
            .await
            .unwrap();
        postgres.failed("connection refused");
        assert!(!health.is_ready() && health.is_started());
        assert_eq!(
            health.report()["dependencies"]["postgres"]["detail"],
            "connection refused"
        );
        postgres.ok();
        health.drain();
        assert!(!health.is_ready());
        assert_eq!(health.report()["status"], "draining");
    }
}
