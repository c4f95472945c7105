//! What happens when an instance does not answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use http::StatusCode;
use tokio::io::AsyncWriteExt;

use crate::harness::{
    Gateway, ORDERS, PRODUCTS, Upstream, client, raw_upstream, read_head, refusing,
};

#[tokio::test]
async fn a_refused_connection_is_tried_elsewhere_whatever_the_method() {
    let gateway = Gateway::start();
    let (b, c) = (Upstream::echo().await, Upstream::echo().await);
    gateway.put(ORDERS, &[refusing().await, b.address, c.address]);
    let client = client();
    for n in 0..12 {
        let answer = client
            .post(gateway.url("/api/orders"))
            .body(format!("{{\"n\":{n}}}"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }
    assert_eq!(b.hits() + c.hits(), 12);
}

#[tokio::test]
async fn when_nobody_can_be_reached_it_says_so_and_that_nothing_was_sent() {
    let gateway = Gateway::start();
    gateway.put(ORDERS, &[refusing().await, refusing().await]);
    let answer = client()
        .post(gateway.url("/api/orders"))
        .body("{}")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()["retry-after"], "1");
    let text = answer.text().await.unwrap();
    assert!(
        text.contains("not sent") && !text.contains("refused") && !text.contains("127.0.0.1"),
        "{text}"
    );
}

/// Takes requests and hangs up without a word.
async fn hangs_up(taken: &Arc<AtomicUsize>) -> std::net::SocketAddr {
    let taken = Arc::clone(taken);
    raw_upstream(move |mut stream| {
        let taken = Arc::clone(&taken);
        async move {
            read_head(&mut stream).await;
            taken.fetch_add(1, Ordering::Relaxed);
        }
    })
    .await
}

#[tokio::test]
async fn after_the_request_was_sent_only_what_is_safe_is_repeated() {
    let gateway = Gateway::start();
    let taken = Arc::new(AtomicUsize::new(0));
    let good = Upstream::echo().await;
    gateway.put(ORDERS, &[hangs_up(&taken).await, good.address]);
    let client = client();
    let (mut sent, mut statuses) = (0, Vec::new());
    for keyed in [false, true] {
        for _ in 0..2 {
            let mut request = client.post(gateway.url("/api/orders")).body("{}");
            if keyed {
                request = request.header("idempotency-key", "k-1");
            }
            statuses.push(request.send().await.unwrap().status().as_u16());
            sent += 1;
        }
    }
    assert_eq!(sent, 4);
    // In turn: the first instance hangs up on one of each pair.
    assert_eq!(statuses, [502, 200, 200, 200]);
    assert_eq!((taken.load(Ordering::Relaxed), good.hits()), (2, 3));
    let get = client.get(gateway.url("/api/orders")).send().await.unwrap();
    assert_eq!(get.status(), StatusCode::OK);
    assert_eq!(taken.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_connection_that_its_upstream_closed_meanwhile_is_replaced_on_the_spot() {
    let gateway = Gateway::start();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let address = raw_upstream(move |mut stream| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            read_head(&mut stream).await;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await
                .unwrap();
            // Takes a second request, and closes instead of answering it.
            read_head(&mut stream).await;
        }
    })
    .await;
    gateway.put(PRODUCTS, &[address]);
    // One client connection, so one worker and one pool.
    let client = client();
    for _ in 0..4 {
        let answer = client
            .get(gateway.url("/api/products"))
            .send()
            .await
            .unwrap();
        assert_eq!(
            (answer.status(), answer.text().await.unwrap().as_str()),
            (StatusCode::OK, "ok")
        );
    }
    assert_eq!(connections.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn a_try_that_takes_too_long_is_made_elsewhere_if_safe() {
    let gateway = Gateway::with(|config, _| config.upstream.try_ms = Duration::from_millis(500));
    let silent =
        Upstream::start(Router::new().fallback(async || std::future::pending::<()>().await)).await;
    let good = Upstream::echo().await;
    gateway.put(PRODUCTS, &[silent.address, good.address]);
    let client = client();
    for _ in 0..2 {
        assert_eq!(
            client
                .get(gateway.url("/api/products"))
                .send()
                .await
                .unwrap()
                .status(),
            StatusCode::OK
        );
    }
    gateway.put(PRODUCTS, &[silent.address]);
    let answer = client
        .post(gateway.url("/api/products"))
        .body("{}")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!((silent.hits(), good.hits()), (2, 2));
}

#[tokio::test]
async fn the_whole_request_has_a_deadline() {
    let gateway = Gateway::with(|_, http| http.request_ms = Duration::from_millis(80));
    let silent =
        Upstream::start(Router::new().fallback(async || std::future::pending::<()>().await)).await;
    gateway.put(PRODUCTS, &[silent.address, silent.address]);
    let answer = client()
        .get(gateway.url("/api/products"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(silent.hits(), 1);
}

#[tokio::test]
async fn an_instance_that_keeps_failing_is_left_alone() {
    let gateway = Gateway::start();
    let taken = Arc::new(AtomicUsize::new(0));
    let good = Upstream::echo().await;
    gateway.put(PRODUCTS, &[hangs_up(&taken).await, good.address]);
    let client = client();
    for _ in 0..30 {
        assert_eq!(
            client
                .get(gateway.url("/api/products"))
                .send()
                .await
                .unwrap()
                .status(),
            StatusCode::OK
        );
    }
    assert_eq!(taken.load(Ordering::Relaxed), 5);
}
