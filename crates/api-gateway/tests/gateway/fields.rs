//! Which header fields arrive, in both directions.

use axum::Router;
use axum::extract::Request;
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::harness::{Gateway, ORDERS, PRODUCTS, Upstream, client};

/// Answers with the header fields that reached it.
async fn mirror() -> Upstream {
    Upstream::start(Router::new().fallback(async |request: Request| {
        let mut fields = Map::new();
        for (name, value) in request.headers() {
            fields.insert(name.to_string(), value.to_str().unwrap().into());
        }
        Value::Object(fields).to_string()
    }))
    .await
}

#[tokio::test]
async fn a_request_arrives_with_what_is_its_own_and_what_the_gateway_knows() {
    let gateway = Gateway::start();
    let upstream = mirror().await;
    gateway.put(PRODUCTS, &[upstream.address]);
    let answer = gateway
        .raw(
            "GET /api/products HTTP/1.1\r\nhost: shop.example:8080\r\nconnection: close, x-private\r\nx-private: 1\r\nte: trailers\r\n\
             upgrade: websocket\r\nkeep-alive: 5\r\nproxy-authorization: Basic x\r\nx-forwarded-for: 10.1.1.1\r\nforwarded: for=10.1.1.1\r\n\
             x-forwarded-proto: https\r\nx-real-ip: 10.1.1.1\r\nauthorization: Bearer kept\r\ncookie: sid=1\r\nx-request-id: given\r\n\
             traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\ntracestate: v=1\r\n\r\n",
        )
        .await;
    let mut fields: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let trace = fields["traceparent"].take();
    assert!(
        trace
            .as_str()
            .unwrap()
            .starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"),
        "{trace}"
    );
    assert!(
        !trace.as_str().unwrap().contains("00f067aa0ba902b7"),
        "{trace}"
    );
    let expected = json!({
        "host": upstream.address.to_string(),
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "shop.example:8080",
        "authorization": "Bearer kept",
        "cookie": "sid=1",
        "x-request-id": "given",
        "traceparent": null,
        "tracestate": "v=1",
    });
    assert_eq!(fields, expected);
    assert!(answer.contains("x-request-id: given\r\n"), "{answer}");
}

#[tokio::test]
async fn an_unusable_request_id_is_replaced_everywhere_alike() {
    let gateway = Gateway::start();
    let upstream = mirror().await;
    gateway.put(PRODUCTS, &[upstream.address]);
    let answer = client()
        .get(gateway.url("/api/products"))
        .header("x-request-id", "two words")
        .send()
        .await
        .unwrap();
    let id = answer.headers()["x-request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let fields: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(fields["x-request-id"], id);
    assert_eq!(id.len(), 36);
}

#[tokio::test]
async fn an_answer_keeps_its_maker_and_loses_what_was_for_the_gateway() {
    let gateway = Gateway::start();
    let upstream = Upstream::start(Router::new().fallback(async || {
        let fields = [
            ("x-served-by", "order-service-2"),
            ("x-request-id", "not this one"),
            ("connection", "x-internal"),
            ("x-internal", "1"),
            ("keep-alive", "timeout=5"),
            ("location", "/orders/7"),
            ("etag", "\"1.2\""),
        ];
        (StatusCode::CREATED, fields, "made")
    }))
    .await;
    gateway.put(ORDERS, &[upstream.address]);
    let answer = client()
        .post(gateway.url("/api/orders"))
        .header("x-request-id", "mine")
        .send()
        .await
        .unwrap();
    let headers = answer.headers();
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert_eq!(headers["x-served-by"], "order-service-2");
    assert_eq!(headers["x-request-id"], "mine");
    assert_eq!(headers["location"], "/api/orders/7");
    assert_eq!(headers["etag"], "\"1.2\"");
    for dropped in ["x-internal", "keep-alive", "connection"] {
        assert!(!headers.contains_key(dropped), "{dropped}");
    }
}

#[tokio::test]
async fn a_request_needs_one_host() {
    let gateway = Gateway::start();
    for hosts in ["", "host: a\r\nhost: b\r\n", "host: a b\r\n"] {
        let answer = gateway
            .raw(format!(
                "GET /health HTTP/1.1\r\n{hosts}connection: close\r\n\r\n"
            ))
            .await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{hosts:?}: {answer}");
    }
    let old = gateway.raw("GET /health HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 200 "), "{old}");
}
