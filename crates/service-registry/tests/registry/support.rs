//! A registry and instances on loopback, in this process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use axum::Router;
use axum::routing::get;
use common::config::{Base, HttpConfig, RegistryConfig, Secret};
use common::http_layer::{self, Identity};
use common::lifecycle::Shutdown;
use common::serve::{self, Limits};
use http::StatusCode;
use serde_json::{Value, json};
use service_registry::api::{AppState, app};
use service_registry::config::Config;
use service_registry::registry::Registry;

/// A registry that ends with its owner.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) client: reqwest::Client,
    shutdown: Shutdown,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with("127.0.0.1:0".parse().unwrap(), None, &Config::default())
    }

    pub(crate) fn with(address: SocketAddr, token: Option<&str>, config: &Config) -> Self {
        let shutdown = Shutdown::new();
        let registry = Registry::start(config.limits());
        let state = AppState::new(
            registry,
            config,
            token.map(Secret::new),
            shutdown.closing_token(),
        );
        let identity = Identity {
            service: "service-registry",
            instance: "r1".parse().unwrap(),
        };
        let router = http_layer::wrap(app(state), &identity, &HttpConfig::default());
        let address = listen(address, router, shutdown.clone());
        Self {
            address,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            shutdown,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        answer(self.client.get(self.url(path))).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> (StatusCode, Value) {
        answer(self.client.put(self.url(path)).json(&body)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        answer(self.client.post(self.url(path)).json(&body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> (StatusCode, Value) {
        answer(self.client.delete(self.url(path))).await
    }

    /// What clients of this registry (and of the others given) are configured with.
    pub(crate) fn client_config(servers: &[&Server]) -> RegistryConfig {
        let urls = servers.iter().map(|server| server.url("")).collect();
        RegistryConfig {
            urls,
            ..Base::default().registry
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.close();
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status();
    (
        status,
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or(Value::Null),
    )
}

fn listen(address: SocketAddr, router: Router, shutdown: Shutdown) -> SocketAddr {
    let listeners = serve::bind(&[address]).unwrap();
    let address = listeners[0].local_addr().unwrap();
    tokio::spawn(serve::serve(
        listeners,
        router,
        Limits::from(&HttpConfig::default()),
        shutdown,
    ));
    address
}

/// Something that registers: what it answers to probes can be set.
pub(crate) struct Instance {
    pub(crate) address: SocketAddr,
    ready: Arc<AtomicU16>,
    health: Arc<AtomicU16>,
    shutdown: Shutdown,
}

impl Instance {
    pub(crate) fn start() -> Self {
        let (ready, health) = (Arc::new(AtomicU16::new(200)), Arc::new(AtomicU16::new(200)));
        let status = |from: &Arc<AtomicU16>| {
            let from = Arc::clone(from);
            get(move || async move { StatusCode::from_u16(from.load(Ordering::SeqCst)).unwrap() })
        };
        let router = Router::new()
            .route("/ready", status(&ready))
            .route("/health", status(&health));
        let shutdown = Shutdown::new();
        let address = listen("127.0.0.1:0".parse().unwrap(), router, shutdown.clone());
        Self {
            address,
            ready,
            health,
            shutdown,
        }
    }

    pub(crate) fn set_ready(&self, status: u16) {
        self.ready.store(status, Ordering::SeqCst);
    }

    pub(crate) fn set_health(&self, status: u16) {
        self.health.store(status, Ordering::SeqCst);
    }

    pub(crate) fn body(&self, generation: u64) -> Value {
        json!({ "address": "127.0.0.1", "port": self.address.port(), "generation": generation, "ttl_ms": 1000 })
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.shutdown.close();
    }
}

/// A watch, event by event.
pub(crate) struct Stream {
    answer: reqwest::Response,
    buffer: String,
}

impl Stream {
    pub(crate) async fn open(server: &Server, services: &str, last_id: Option<&str>) -> Self {
        let mut request = server
            .client
            .get(server.url(&format!("/v1/watch?{services}")));
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self {
            answer,
            buffer: String::new(),
        }
    }

    /// Name, id and data of the next event; `None` at the stream's end. Comments are left out.
    pub(crate) async fn next(&mut self) -> Option<(String, String, Value)> {
        loop {
            if let Some((event, rest)) = self.buffer.split_once("\n\n") {
                let field = |name: &str| {
                    let line = event
                        .lines()
                        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                    line.unwrap_or_default().to_owned()
                };
                let found = (field("event"), field("id"), field("data"));
                self.buffer = rest.to_owned();
                if !found.0.is_empty() {
                    return Some((found.0, found.1, serde_json::from_str(&found.2).unwrap()));
                }
                continue;
            }
            let chunk = self.answer.chunk().await.unwrap()?;
            self.buffer.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Skips to the change that shows `id` in `state` (`null`: gone).
    pub(crate) async fn until(&mut self, id: &str, state: Option<&str>) -> String {
        loop {
            let (_, event_id, data) = self.next().await.unwrap();
            if data["id"] == id && data["instance"]["state"].as_str() == state {
                return event_id;
            }
        }
    }
}
