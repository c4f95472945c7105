//! Leases, states, refusals.

use std::time::Duration;

use serde_json::json;
use service_registry::config::Config;

use crate::support::{Instance, Server, Stream, answer};

const P1: &str = "/v1/services/product-service/instances/p1";

#[tokio::test]
async fn an_instance_registers_passes_drains_and_leaves() {
    let (server, instance) = (Server::start(), Instance::start());
    instance.set_ready(503);
    let mut stream = Stream::open(&server, "service=product-service", None).await;
    let (status, body) = server.put(P1, instance.body(7)).await;
    assert_eq!((status.as_u16(), &body["state"]), (201, &json!("warming")));
    assert_eq!(server.put(P1, instance.body(7)).await.0, 200);
    let (_, list) = server
        .get("/v1/services/product-service?state=passing")
        .await;
    assert_eq!(list["instances"], json!([]));
    instance.set_ready(200);
    stream.until("p1", Some("passing")).await;
    let (_, list) = server
        .get("/v1/services/product-service?state=passing")
        .await;
    let expected = json!([{
        "service": "product-service", "id": "p1", "address": "127.0.0.1", "port": instance.address.port(),
        "generation": 7, "metadata": {}, "ttl_ms": 1000, "state": "passing",
    }]);
    assert_eq!(list["instances"], expected);
    let (status, problem) = server.put(P1, instance.body(6)).await;
    assert_eq!((status.as_u16(), &problem["generation"]), (409, &json!(7)));
    assert_eq!(
        server
            .post(&format!("{P1}/drain?generation=6"), json!({}))
            .await
            .0,
        409
    );
    assert_eq!(
        server.post(&format!("{P1}/drain"), json!({})).await.1["state"],
        "draining"
    );
    let (_, services) = server.get("/v1/services").await;
    assert_eq!(services["services"]["product-service"]["draining"], 1);
    assert_eq!(server.delete(P1).await.0, 204);
    assert_eq!(server.delete(P1).await.0, 204);
    assert_eq!(server.post(&format!("{P1}/drain"), json!({})).await.0, 404);
}

#[tokio::test]
async fn a_lease_that_is_not_renewed_ends_on_time() {
    let (server, instance) = (Server::start(), Instance::start());
    let mut stream = Stream::open(&server, "service=product-service", None).await;
    let before = common::clock::now();
    server.put(P1, instance.body(1)).await;
    let after = common::clock::now();
    stream.until("p1", None).await;
    let ttl = Duration::from_secs(1);
    assert!(before.elapsed() >= ttl, "not before its time");
    assert!(
        after.elapsed() <= ttl + Duration::from_millis(250),
        "{:?} after it",
        after.elapsed() - ttl
    );
}

#[tokio::test]
async fn health_decides_once_an_instance_was_ready() {
    let mut config = Config::default();
    config.probe.interval_ms = Duration::from_millis(20);
    let server = Server::with("127.0.0.1:0".parse().unwrap(), None, &config);
    let instance = Instance::start();
    let mut stream = Stream::open(&server, "service=product-service", None).await;
    server.put(P1, instance.body(1)).await;
    stream.until("p1", Some("passing")).await;
    instance.set_ready(503);
    instance.set_health(500);
    stream.until("p1", Some("critical")).await;
    instance.set_health(200);
    stream.until("p1", Some("passing")).await;
}

#[tokio::test]
async fn bad_registrations_name_the_field() {
    let server = Server::start();
    let good = Instance::start().body(1);
    let with = |name: &str, value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    for (body, pointer) in [
        (with("address", json!("8.8.8.8")), "/address"),
        (with("address", json!("nowhere")), "/address"),
        (with("port", json!(0)), "/port"),
        (with("port", json!(70_000)), "/port"),
        (with("generation", json!(0)), "/generation"),
        (with("ttl_ms", json!(999)), "/ttl_ms"),
        (with("ttl_ms", json!(60_001)), "/ttl_ms"),
        (with("metadata", json!({ "": "x" })), "/metadata"),
        (with("service", json!("order-service")), "/service"),
    ] {
        let (status, problem) = server.put(P1, body).await;
        assert_eq!(
            (status.as_u16(), problem["errors"][0]["pointer"].as_str()),
            (422, Some(pointer)),
            "{problem}"
        );
    }
    let long = "a".repeat(64);
    for path in [
        "/v1/services/Product/instances/p1",
        "/v1/services/p/instances/-",
        &format!("/v1/services/{long}/instances/1"),
    ] {
        assert_eq!(server.put(path, good.clone()).await.0, 422, "{path}");
    }
    assert_eq!(server.get("/v1/services").await.1["services"], json!({}));
}

#[tokio::test]
async fn writes_need_the_token_and_reads_do_not() {
    let server = Server::with(
        "127.0.0.1:0".parse().unwrap(),
        Some("s3cret"),
        &Config::default(),
    );
    let instance = Instance::start();
    let put = || server.client.put(server.url(P1)).json(&instance.body(1));
    assert_eq!(answer(put()).await.0, 401);
    assert_eq!(answer(put().bearer_auth("wrong")).await.0, 401);
    assert_eq!(answer(put().bearer_auth("s3cret")).await.0, 201);
    assert_eq!(server.post(&format!("{P1}/drain"), json!({})).await.0, 401);
    assert_eq!(server.delete(P1).await.0, 401);
    assert_eq!(server.post("/register", json!({})).await.0, 401);
    assert_eq!(server.delete("/deregister/product-service").await.0, 401);
    assert_eq!(server.get("/v1/services/product-service").await.0, 200);
    assert_eq!(server.delete("/v1/services").await.0, 405);
}
