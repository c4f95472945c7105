//! The binary, with a real registry and instances that register there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use axum::Router;
use axum::extract::Path;
use common::config::{HttpConfig, RegistryConfig};
use common::http_layer::Identity;
use common::lifecycle::Shutdown;
use common::registry::Registration;
use common::serve::{self, Limits};
use futures_util::future::join_all;
use http::StatusCode;
use nix::sys::signal::Signal;
use serde_json::Value;
use service_registry::api::{AppState, app};
use service_registry::config::Config;
use test_support::{Service, eventually, free_address, spawn_service};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use crate::harness::{PRODUCTS, Upstream, client, soon};

/// A registry in this process: it can end, and begin again at the same address, knowing nobody.
struct Registry {
    shutdown: Shutdown,
    serving: JoinHandle<()>,
}

impl Registry {
    async fn start(address: SocketAddr) -> Self {
        let shutdown = Shutdown::new();
        let config = Config::default();
        let registry = service_registry::registry::Registry::start(config.limits());
        let app = app(AppState::new(
            registry,
            &config,
            None,
            shutdown.closing_token(),
        ));
        let listeners = serve::bind(&[address]).unwrap();
        let serving = serve::serve(
            listeners,
            app,
            Limits::from(&HttpConfig::default()),
            shutdown.clone(),
        );
        let serving = tokio::spawn(async move { serving.await.unwrap() });
        Self { shutdown, serving }
    }

    async fn stop(&mut self) {
        self.shutdown.close();
        soon(&mut self.serving).await.unwrap();
    }
}

struct Instance {
    registration: Registration,
    _upstream: Upstream,
}

/// An instance that answers with its name, or, at `/products/slow`, when it is told to.
async fn instance(
    name: &'static str,
    registry: SocketAddr,
    arrived: &mpsc::Sender<()>,
    release: &Arc<Notify>,
) -> Instance {
    let (arrived, release) = (arrived.clone(), Arc::clone(release));
    let slow = async move |_: Path<()>| {
        let released = release.notified();
        arrived.send(()).await.unwrap();
        released.await;
        name
    };
    let router = Router::new()
        .route("/products/slow", axum::routing::get(slow))
        .fallback(async move || name);
    let upstream = Upstream::start(router).await;
    let identity = Identity {
        service: PRODUCTS,
        instance: name.parse().unwrap(),
    };
    let config = RegistryConfig {
        urls: vec![format!("http://{registry}")],
        renew_ms: Duration::from_millis(200),
        ..RegistryConfig::default()
    };
    let registration = Registration::start(&config, &identity, upstream.address.port())
        .unwrap()
        .unwrap();
    Instance {
        registration,
        _upstream: upstream,
    }
}

struct Shop {
    registry: Registry,
    registry_address: SocketAddr,
    instances: Vec<Instance>,
    gateway: Service,
    admin: SocketAddr,
    arrived: mpsc::Receiver<()>,
    release: Arc<Notify>,
}

impl Shop {
    async fn open() -> Self {
        let (registry_address, admin) = (free_address(), free_address());
        let registry = Registry::start(registry_address).await;
        let ((arriving, arrived), release) = (mpsc::channel(100), Arc::default());
        let names = [
            "product-service-1",
            "product-service-2",
            "product-service-3",
        ];
        let instances =
            join_all(names.map(|name| instance(name, registry_address, &arriving, &release))).await;
        let environment = [
            ("SERVICE_REGISTRY", &*format!("http://{registry_address}")),
            ("ADMIN__LISTEN", &*admin.to_string()),
            ("INSTANCE_ID", "api-gateway-1"),
            ("WORKERS", "2"),
        ];
        let gateway = spawn_service(env!("CARGO_BIN_EXE_api-gateway"), &environment)
            .await
            .unwrap();
        let shop = Self {
            registry,
            registry_address,
            instances,
            gateway,
            admin,
            arrived,
            release,
        };
        shop.sees(3).await;
        shop
    }

    /// Waits until the gateway gives work to this many instances.
    async fn sees(&self, count: usize) {
        eventually("the gateway sees the instances", async || -> Result<()> {
            let text = client()
                .get(format!("http://{}/upstreams", self.admin))
                .send()
                .await?
                .text()
                .await?;
            let upstreams: Value = serde_json::from_str(&text)?;
            let active = upstreams["services"][0]["instances"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|instance| instance["state"] == "active");
            ensure!(active.count() == count, "{upstreams}");
            Ok(())
        })
        .await
        .unwrap();
    }

    /// Who answered how many of this many requests at once; all must succeed.
    async fn ask(&self, count: usize) -> BTreeMap<String, usize> {
        let clients: Vec<_> = (0..8).map(|_| client()).collect();
        let requests = (0..count).map(|n| {
            clients[n % 8]
                .get(format!("{}/api/products", self.gateway.base_url()))
                .send()
        });
        let mut answers = BTreeMap::new();
        for answer in join_all(requests).await {
            let answer = answer.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            *answers.entry(answer.text().await.unwrap()).or_default() += 1;
        }
        answers
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_comes_and_goes() {
    let mut shop = Shop::open().await;
    assert_eq!(
        shop.ask(300).await.into_values().collect::<Vec<_>>(),
        [100, 100, 100]
    );
    // There is no order service here: the gateway is ready all the same once it has waited for one.
    eventually("the gateway is ready", || async {
        let ready = client()
            .get(format!("http://{}/ready", shop.admin))
            .send()
            .await?;
        Ok(ready.error_for_status()?)
    })
    .await
    .unwrap();

    let leaving = shop.instances.pop().unwrap();
    leaving.registration.drain().await;
    shop.sees(2).await;
    assert_eq!(
        shop.ask(40).await.into_values().collect::<Vec<_>>(),
        [20, 20]
    );

    // Gone: the last known good set goes on. Back, and knowing nobody: so it does, until everybody is back as well.
    shop.registry.stop().await;
    assert_eq!(
        shop.ask(40).await.into_values().collect::<Vec<_>>(),
        [20, 20]
    );
    shop.registry = Registry::start(shop.registry_address).await;
    let arriving = instance(
        "product-service-4",
        shop.registry_address,
        &mpsc::channel(1).0,
        &shop.release,
    )
    .await;
    shop.instances.push(arriving);
    shop.sees(3).await;
    assert_eq!(
        shop.ask(30).await.into_values().collect::<Vec<_>>(),
        [10, 10, 10]
    );
    assert_eq!(shop.gateway.term().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminated_gateway_finishes_what_it_has() {
    let mut shop = Shop::open().await;
    let url = format!("{}/api/products/slow", shop.gateway.base_url());
    let requests: Vec<_> = (0..30)
        .map(|_| tokio::spawn(client().get(&url).send()))
        .collect();
    for _ in 0..30 {
        soon(shop.arrived.recv()).await.unwrap();
    }
    shop.gateway.signal(Signal::SIGTERM);
    let address = shop.gateway.address();
    eventually("the door is closed", async || -> Result<()> {
        ensure!(tokio::net::TcpStream::connect(address).await.is_err());
        Ok(())
    })
    .await
    .unwrap();
    shop.release.notify_waiters();
    for answer in join_all(requests).await {
        assert_eq!(answer.unwrap().unwrap().status(), StatusCode::OK);
    }
    // A second signal would abort it: only its end is awaited.
    eventually("the gateway has ended", async || -> Result<()> {
        ensure!(!shop.gateway.is_running());
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(shop.gateway.term().await.unwrap(), 0);
}
