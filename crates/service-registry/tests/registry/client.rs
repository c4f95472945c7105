//! The client that services use, against real registries.

use std::sync::Arc;
use std::time::Duration;

use common::clock;
use common::config::RegistryConfig;
use common::http_layer::Identity;
use common::registry::{Endpoints, Registration, Watch};
use serde_json::json;
use service_registry::config::Config;

use crate::support::{Instance, Server};

fn register(config: &RegistryConfig, id: &str, instance: &Instance) -> Registration {
    let identity = Identity {
        service: "product-service",
        instance: id.parse().unwrap(),
    };
    Registration::start(config, &identity, instance.address.port())
        .unwrap()
        .unwrap()
}

fn ids(endpoints: &Endpoints) -> Vec<String> {
    endpoints
        .of("product-service")
        .iter()
        .map(|endpoint| endpoint.id.to_string())
        .collect()
}

/// Waits until the watched view is this one.
async fn until(watch: &Watch, expected: &[&str]) -> Arc<Endpoints> {
    let mut view = watch.subscribe();
    let found = view.wait_for(|endpoints| endpoints.is_known() && ids(endpoints) == expected);
    let outcome = tokio::time::timeout(Duration::from_secs(8), found).await;
    outcome
        .unwrap_or_else(|_| panic!("never {expected:?}, but {:?}", watch.current()))
        .unwrap()
        .clone()
}

fn watch(config: &RegistryConfig) -> Watch {
    Watch::start(config, &["product-service".parse().unwrap()]).unwrap()
}

#[tokio::test]
async fn an_instance_is_found_quickly_and_leaves_in_order() {
    let (server, instance) = (Server::start(), Instance::start());
    let config = Server::client_config(&[&server]);
    let watch = watch(&config);
    until(&watch, &[]).await;
    let begun = clock::now();
    let registration = register(&config, "p1", &instance);
    let found = until(&watch, &["p1"]).await;
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "passing after {:?}",
        begun.elapsed()
    );
    assert_eq!(found.of("product-service")[0].address, instance.address);
    registration.drain().await;
    until(&watch, &[]).await;
    assert_eq!(
        server.get("/v1/services/product-service").await.1["instances"][0]["state"],
        "draining"
    );
    registration.leave().await;
    assert_eq!(server.get("/v1/services").await.1["services"], json!({}));
}

#[tokio::test]
async fn who_waits_to_be_passed_hears_of_it_long_before_the_next_renewal() {
    let (server, instance) = (Server::start(), Instance::start());
    instance.set_ready(503);
    let config = RegistryConfig {
        renew_ms: Duration::from_secs(5),
        ..Server::client_config(&[&server])
    };
    let registration = register(&config, "p1", &instance);
    let mut passed = std::pin::pin!(registration.passed());
    let mut watched = super::support::Stream::open(&server, "service=product-service", None).await;
    let told = async {
        loop {
            let data = watched.next().await.unwrap().2;
            let state = data
                .pointer("/instance/state")
                .or(data.pointer("/instances/0/state"));
            if let Some(state) = state {
                return state.clone();
            }
        }
    };
    // The registry has it, and has dialled back: not ready.
    tokio::select! {
        biased;
        () = &mut passed => panic!("nobody has passed it"),
        state = told => assert_eq!(state, "warming"),
    }
    let begun = clock::now();
    instance.set_ready(200);
    passed.await;
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!(
        server.get("/v1/services/product-service").await.1["instances"][0]["state"],
        "passing"
    );
    drop(server);
    registration.passed().await; // once is enough
}

#[tokio::test]
async fn every_replica_is_registered_with_and_any_one_is_enough() {
    let (first, second, instance) = (Server::start(), Server::start(), Instance::start());
    let config = Server::client_config(&[&first, &second]);
    let (watch, _registration) = (watch(&config), register(&config, "p1", &instance));
    until(&watch, &["p1"]).await;
    let mut own = super::support::Stream::open(&second, "service=product-service", None).await;
    if own.next().await.unwrap().2["instances"][0]["state"] != "passing" {
        own.until("p1", Some("passing")).await;
    }
    drop(first);
    drop(second);
    assert_eq!(ids(&watch.current()), ["p1"], "the last known good view");
}

#[tokio::test]
async fn a_registry_that_starts_late_or_again_is_found_by_itself() {
    let instance = Instance::start();
    let first = Server::start();
    let renew_ms = Duration::from_millis(300);
    let (address, config) = (
        first.address,
        RegistryConfig {
            renew_ms,
            ..Server::client_config(&[&first])
        },
    );
    let (watch, _registration) = (watch(&config), register(&config, "p1", &instance));
    until(&watch, &["p1"]).await;
    let mut view = watch.subscribe();
    view.mark_unchanged();
    drop(first);
    // The port is free when the old listener is closed.
    let second = loop {
        match std::net::TcpStream::connect(address) {
            Ok(_) => tokio::task::yield_now().await,
            Err(_) => break Server::with(address, None, &Config::default()),
        }
    };
    let renewed = async {
        while second
            .get("/v1/services/product-service?state=passing")
            .await
            .1["instances"]
            == json!([])
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(6), renewed)
        .await
        .unwrap();
    assert!(
        !view.has_changed().unwrap(),
        "the view never lost the instance: {:?}",
        watch.current()
    );
}

#[tokio::test]
async fn a_newer_generation_is_overtaken() {
    let (server, instance) = (Server::start(), Instance::start());
    let config = Server::client_config(&[&server]);
    let ahead = clock::unix_ms() + 1_000_000;
    let path = "/v1/services/product-service/instances/p1";
    assert_eq!(server.put(path, instance.body(ahead)).await.0, 201);
    let (watch, _registration) = (watch(&config), register(&config, "p1", &instance));
    let mut view = watch.subscribe();
    let newer = view.wait_for(|e| {
        e.of("product-service")
            .first()
            .is_some_and(|p1| p1.generation == ahead + 1)
    });
    tokio::time::timeout(Duration::from_secs(5), newer)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn without_a_registry_nothing_is_watched_or_registered() {
    let config = RegistryConfig::default();
    let identity = Identity {
        service: "product-service",
        instance: "p1".parse().unwrap(),
    };
    assert!(
        Registration::start(&config, &identity, 1)
            .unwrap()
            .is_none()
    );
    assert!(!watch(&config).current().is_known());
    let wrong = RegistryConfig {
        urls: vec!["registry:8500".into()],
        ..config
    };
    assert_eq!(
        Registration::start(&wrong, &identity, 1).unwrap_err().key,
        "SERVICE_REGISTRY"
    );
}
