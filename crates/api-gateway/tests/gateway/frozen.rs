//! What happens when a process takes requests and never answers: a real one, stopped by a signal.

use std::time::Duration;

use common::clock;
use http::StatusCode;
use nix::sys::signal::Signal;
use reqwest::Response;
use test_support::{Service, eventually, free_address, spawn_service};
use tokio::task::JoinHandle;

use crate::harness::{Gateway, PRODUCTS, Upstream, client};

/// A read is made elsewhere after this long; anything else ends after [`LONG`].
const SOON: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(20);
/// Long enough to see that something does not happen.
const A_WHILE: Duration = Duration::from_millis(400);

/// Another gateway, which knows no product, stands for a service: what it answers is 404 or 503.
async fn frozen() -> Service {
    let admin = free_address().to_string();
    let environment = [("ADMIN__LISTEN", admin.as_str()), ("WORKERS", "1")];
    let service = spawn_service(env!("CARGO_BIN_EXE_api-gateway"), &environment)
        .await
        .unwrap();
    service.signal(Signal::SIGSTOP);
    // Each of its threads stops at its next step: until all have, it may answer.
    eventually("it has stopped", async || {
        for task in std::fs::read_dir(format!("/proc/{}/task", service.pid()))? {
            let stat = std::fs::read_to_string(task?.path().join("stat"))?;
            let state = stat.rsplit_once(") ").map(|(_, state)| state);
            anyhow::ensure!(state.is_some_and(|state| state.starts_with('T')), "{stat}");
        }
        Ok(())
    })
    .await
    .unwrap();
    service
}

fn gateway(retries_a_second: u32) -> Gateway {
    Gateway::with(|config, http| {
        config.upstream.read_try_ms = SOON;
        (config.upstream.try_ms, http.request_ms) = (LONG, LONG);
        config.ejection.base_ms = config.ejection.max_ms;
        config.retry.budget_percent = 0;
        config.retry.budget_min_per_second = retries_a_second;
    })
}

fn read(gateway: &Gateway) -> JoinHandle<Response> {
    let request = client().get(gateway.url("/api/products/1"));
    tokio::spawn(async move { request.send().await.unwrap() })
}

/// Sees that a request waits for the frozen instance, and is answered once that goes on.
async fn waits_for(service: &Service, mut request: JoinHandle<Response>) {
    assert!(
        tokio::time::timeout(A_WHILE, &mut request).await.is_err(),
        "nobody can have answered"
    );
    service.signal(Signal::SIGCONT);
    let answer = request.await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_read_is_made_elsewhere_soon_and_the_frozen_instance_is_ejected() {
    let (frozen, good) = (frozen().await, Upstream::echo().await);
    let gateway = gateway(10);
    gateway.put(PRODUCTS, &[frozen.address(), good.address]);
    let begun = clock::now();
    for n in 1..=20 {
        assert_eq!(read(&gateway).await.unwrap().status(), StatusCode::OK);
        assert_eq!(good.hits(), n);
    }
    // Five of the twenty had to wait, then it was out.
    let took = begun.elapsed();
    assert!(SOON * 5 <= took && took < LONG / 4, "{took:?}");
    let report = gateway.shared.clusters()[0].report(clock::now());
    let report = serde_json::to_value(report).unwrap();
    let out = report["instances"].as_array().unwrap().iter();
    assert_eq!(
        out.filter(|instance| instance["state"] == "ejected")
            .count(),
        1,
        "{report}"
    );
}

#[tokio::test]
async fn whom_nobody_can_stand_in_for_is_waited_for() {
    let frozen = frozen().await;
    let gateway = gateway(10);
    gateway.put(PRODUCTS, &[frozen.address()]);
    waits_for(&frozen, read(&gateway)).await;
}

#[tokio::test]
async fn without_budget_a_slow_instance_is_waited_for() {
    let (frozen, good) = (frozen().await, Upstream::echo().await);
    let gateway = gateway(0);
    gateway.put(PRODUCTS, &[frozen.address(), good.address]);
    waits_for(&frozen, read(&gateway)).await;
    assert_eq!(good.hits(), 0);
}

#[tokio::test]
async fn what_writes_is_waited_for_even_with_a_key() {
    let (frozen, good) = (frozen().await, Upstream::echo().await);
    let gateway = gateway(10);
    gateway.put(PRODUCTS, &[frozen.address(), good.address]);
    let request = client()
        .post(gateway.url("/api/products"))
        .header("idempotency-key", "k")
        .body("{}");
    let writing = tokio::spawn(async move { request.send().await.unwrap() });
    waits_for(&frozen, writing).await;
    assert_eq!(good.hits(), 0);
}
