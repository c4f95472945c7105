//! What a request may be at most.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::harness::{Gateway, ORDERS, PRODUCTS, Upstream, client, soon};

#[tokio::test]
async fn bodies_longer_than_allowed_are_refused_announced_or_not() {
    let gateway = Gateway::with(|_, http| http.max_body_bytes = 100_000);
    let upstream =
        Upstream::start(Router::new().fallback(async |body: Bytes| body.len().to_string())).await;
    gateway.put(ORDERS, &[upstream.address]);
    let client = client();
    let post = |body: reqwest::Body| client.post(gateway.url("/api/orders")).body(body).send();
    let chunked = |pieces: usize| {
        reqwest::Body::wrap_stream(futures_util::stream::iter(vec![
            Ok::<_, Infallible>(
                Bytes::from_static(&[b'x'; 1_000])
            );
            pieces
        ]))
    };
    assert_eq!(
        post(vec![b'x'; 100_000].into())
            .await
            .unwrap()
            .text()
            .await
            .unwrap(),
        "100000"
    );
    assert_eq!(
        post(chunked(100)).await.unwrap().text().await.unwrap(),
        "100000"
    );
    for body in [vec![b'x'; 100_001].into(), chunked(101), chunked(400)] {
        let answer = post(body).await.unwrap();
        assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert!(
            answer
                .text()
                .await
                .unwrap()
                .contains("longer than 100000 bytes")
        );
    }
    let asked = "POST /api/orders HTTP/1.1\r\nhost: shop\r\nexpect: 100-continue\r\ncontent-length: 100001\r\n\r\n";
    assert!(soon(gateway.raw(asked)).await.starts_with("HTTP/1.1 413 "));
    assert_eq!(
        upstream.hits(),
        2 + 2,
        "an announced length is refused before an upstream hears of it"
    );
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_goes_on_sending() {
    let gateway = Gateway::start();
    let upstream = Upstream::start(Router::new().fallback(async |_: Bytes| "whole")).await;
    gateway.put(ORDERS, &[upstream.address]);
    let post = "POST /api/orders HTTP/1.1\r\nhost: shop\r\n";
    let body = "x".repeat(8 * 1024 * 1024);
    let length = body.len();
    for (request, status) in [
        (format!("{post}content-length: {length}\r\n\r\n{body}"), 413),
        (
            format!("{post}transfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"),
            413,
        ),
        (
            format!(
                "POST /nowhere HTTP/1.1\r\nhost: shop\r\ncontent-length: {length}\r\n\r\n{body}"
            ),
            404,
        ),
        (format!("{post}x-long: {body}\r\n\r\n"), 431),
    ] {
        let answer = soon(gateway.raw(request)).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn headers_and_targets_have_limits() {
    let gateway = Gateway::with(|_, http| http.max_header_bytes = 16 * 1024);
    let upstream = Upstream::echo().await;
    gateway.put(PRODUCTS, &[upstream.address]);
    let get = async |path: &str, fields: &str| {
        gateway
            .raw(format!(
                "GET {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n{fields}\r\n"
            ))
            .await
    };
    let many = |count: usize| {
        (0..count)
            .map(|n| format!("x-{n}: 1\r\n"))
            .collect::<String>()
    };
    assert!(
        get("/api/products", &many(60))
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    let answer = get("/api/products", &many(80)).await;
    assert!(
        answer.starts_with("HTTP/1.1 431 ")
            && answer.contains("urn:underlay:problem:headers-too-large"),
        "{answer}"
    );
    assert!(
        get("/api/products", &many(300))
            .await
            .starts_with("HTTP/1.1 431 ")
    );
    assert!(
        get(
            "/api/products",
            &format!("x-long: {}\r\n", "y".repeat(20_000))
        )
        .await
        .starts_with("HTTP/1.1 431 ")
    );
    let answer = get(&format!("/api/products?q={}", "y".repeat(9_000)), "").await;
    assert!(
        answer.starts_with("HTTP/1.1 414 ") && answer.contains("urn:underlay:problem:uri-too-long"),
        "{answer}"
    );
    assert_eq!(upstream.hits(), 1);
}

#[tokio::test]
async fn a_body_that_stops_coming_is_not_waited_for() {
    let gateway = Gateway::with(|config, _| config.upstream.pause_ms = Duration::from_millis(50));
    let upstream =
        Upstream::start(Router::new().fallback(async |body: Bytes| body.len().to_string())).await;
    gateway.put(ORDERS, &[upstream.address]);
    for length in [10, 100_000] {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        let head = format!(
            "POST /api/orders HTTP/1.1\r\nhost: shop\r\ncontent-length: {length}\r\n\r\nabc"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        soon(stream.read_to_string(&mut answer)).await.unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 408 ")
                && answer.contains("urn:underlay:problem:request-timeout"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_head_that_stops_coming_and_an_idle_connection_are_closed() {
    let gateway = Gateway::with(|_, http| {
        http.header_read_ms = Duration::from_millis(50);
        http.idle_ms = Duration::from_millis(50);
    });
    for begun in ["", "GET /health HTT"] {
        let answer = soon(gateway.raw(begun)).await;
        assert!(!answer.contains(" 200 "), "{answer}");
    }
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream
        .write_all(b"GET /health HTTP/1.1\r\nhost: shop\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_holds_no_upstream() {
    let gateway = Gateway::with(|_, http| http.idle_ms = Duration::from_millis(100));
    let (held, released) = oneshot::channel::<()>();
    let held = Arc::new(Mutex::new(Some(held)));
    let upstream = Upstream::start(Router::new().fallback(move || {
        // Endless, and dropped when the connection to the gateway ends.
        let held = held.lock().unwrap().take();
        let pieces = futures_util::stream::repeat_with(move || {
            let _held = &held;
            Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 65_536]))
        });
        async move { Body::from_stream(pieces) }
    }))
    .await;
    gateway.put(PRODUCTS, &[upstream.address]);
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream
        .write_all(b"GET /api/products HTTP/1.1\r\nhost: shop\r\n\r\n")
        .await
        .unwrap();
    assert!(soon(released).await.is_err());
}
