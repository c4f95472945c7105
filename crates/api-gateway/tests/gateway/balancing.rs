//! Who takes which request.

use futures_util::future::join_all;
use http::StatusCode;
use serde_json::Value;

use crate::harness::{Gateway, ORDERS, PRODUCTS, Upstream, client};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_requests_spread_exactly() {
    let gateway = Gateway::start();
    let upstreams = [
        Upstream::echo().await,
        Upstream::echo().await,
        Upstream::echo().await,
    ];
    gateway.put(
        PRODUCTS,
        &upstreams.each_ref().map(|upstream| upstream.address),
    );
    // Several clients, so that connections fall on both workers.
    let clients: Vec<_> = (0..10).map(|_| client()).collect();
    let requests = (0..300).map(|n| clients[n % 10].get(gateway.url("/api/products")).send());
    let answers: Vec<_> = join_all(requests)
        .await
        .into_iter()
        .map(|answer| answer.unwrap().status())
        .collect();
    assert!(answers.iter().all(|status| *status == StatusCode::OK));
    assert_eq!(upstreams.each_ref().map(Upstream::hits), [100, 100, 100]);
}

#[tokio::test]
async fn routes_have_their_owners_and_lose_api() {
    let gateway = Gateway::start();
    let (products, orders) = (Upstream::echo().await, Upstream::echo().await);
    gateway.put(PRODUCTS, &[products.address]);
    gateway.put(ORDERS, &[orders.address]);
    let client = client();
    let get = async |path: &str| {
        client
            .get(gateway.url(path))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    };
    assert_eq!(
        get("/api/products?q=a%2Fb&x=%zz").await,
        "GET /products?q=a%2Fb&x=%zz"
    );
    assert_eq!(
        get("/%61pi/products/caf%c3%a9/").await,
        "GET /products/caf%C3%A9/"
    );
    assert_eq!(get("/api/orders/1").await, "GET /orders/1");
    assert_eq!(get("/api/cart").await, "GET /cart");
    assert_eq!((products.hits(), orders.hits()), (2, 2));
}

#[tokio::test]
async fn the_gateways_own_answers() {
    let gateway = Gateway::start();
    let client = client();
    let health = client.get(gateway.url("/health")).send().await.unwrap();
    assert_eq!(health.headers()["x-served-by"], "gateway-1");
    assert_eq!(
        health.text().await.unwrap(),
        r#"{"status":"healthy","service":"api-gateway"}"#
    );
    for (method, path, status, slug) in [
        ("GET", "/api/products/1", 503, "unavailable"),
        ("GET", "/api/reservations/1", 404, "not-found"),
        ("GET", "/", 404, "not-found"),
        ("PATCH", "/api/orders/1", 405, "method-not-allowed"),
        ("POST", "/health", 405, "method-not-allowed"),
    ] {
        let answer = client
            .request(method.parse().unwrap(), gateway.url(path))
            .header("x-request-id", "my-id")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status().as_u16(), status, "{method} {path}");
        let headers = answer.headers().clone();
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(
            (&headers["x-request-id"], &headers["x-served-by"]),
            (&"my-id".parse().unwrap(), &"gateway-1".parse().unwrap())
        );
        assert_eq!(headers.contains_key("retry-after"), status == 503);
        assert_eq!(headers.contains_key("allow"), status == 405);
        let problem: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(problem["type"], format!("urn:underlay:problem:{slug}"));
        assert_eq!(
            (&problem["status"], &problem["instance"]),
            (&status.into(), &"my-id".into())
        );
    }
}

#[tokio::test]
async fn ambiguous_paths_reach_nobody() {
    let gateway = Gateway::start();
    let products = Upstream::echo().await;
    gateway.put(PRODUCTS, &[products.address]);
    for path in [
        "/api/products/../reservations",
        "/api/products/%2e%2e/x",
        "/api/products/a%2fb",
        "/api//products",
        "/api/products/%zz",
        "/api/products/%ff",
    ] {
        let answer = gateway
            .raw(format!(
                "GET {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n"
            ))
            .await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{path}: {answer}");
        assert!(
            answer.contains("urn:underlay:problem:malformed"),
            "{path}: {answer}"
        );
    }
    assert_eq!(products.hits(), 0);
}
