//! Bodies: streamed, counted, framed once.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::any;
use bytes::Bytes;
use futures_util::StreamExt;
use http::{StatusCode, header};
use http_body_util::BodyExt;
use tokio::sync::{mpsc, oneshot};

use crate::harness::{Gateway, ORDERS, PRODUCTS, Upstream, client, soon};

/// Answers with the length of the body and how it was framed.
async fn measure() -> Upstream {
    Upstream::start(Router::new().fallback(async |request: Request| {
        let framing = request
            .headers()
            .get(header::CONTENT_LENGTH)
            .map_or("chunked", |_| "length");
        let length = request
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .len();
        format!("{length} {framing}")
    }))
    .await
}

#[tokio::test]
async fn bodies_of_every_size_and_framing_arrive_whole() {
    let gateway = Gateway::start();
    let upstream = measure().await;
    gateway.put(ORDERS, &[upstream.address]);
    let client = client();
    for (size, streamed, expected) in [
        (0, false, "0 chunked"),
        (10, false, "10 length"),
        (65_536, false, "65536 length"),
        (65_537, false, "65537 length"),
        (262_144, false, "262144 length"),
        (10, true, "10 length"),
        (100_000, true, "100000 chunked"),
    ] {
        let body = vec![b'x'; size];
        let body = if streamed {
            let pieces: Vec<_> = body
                .chunks(9_000)
                .map(|piece| Ok::<_, Infallible>(Bytes::copy_from_slice(piece)))
                .collect();
            reqwest::Body::wrap_stream(futures_util::stream::iter(pieces))
        } else {
            body.into()
        };
        let mut request = client.post(gateway.url("/api/orders"));
        if size > 0 {
            request = request.body(body);
        }
        let text = request.send().await.unwrap().text().await.unwrap();
        let expected = if size == 0 {
            text.clone()
        } else {
            expected.to_owned()
        };
        assert_eq!(text, expected, "{size} {streamed}");
    }
}

#[tokio::test]
async fn an_answer_flows_while_it_is_made() {
    let gateway = Gateway::start();
    let (pieces, source) = mpsc::channel::<Bytes>(1);
    let source = Arc::new(Mutex::new(Some(source)));
    let upstream = Upstream::start(Router::new().fallback(move || {
        let mut source = source.lock().unwrap().take().unwrap();
        async move {
            Body::from_stream(futures_util::stream::poll_fn(move |cx| {
                source
                    .poll_recv(cx)
                    .map(|piece| piece.map(Ok::<_, Infallible>))
            }))
        }
    }))
    .await;
    gateway.put(PRODUCTS, &[upstream.address]);
    let mut answer = client()
        .get(gateway.url("/api/products"))
        .send()
        .await
        .unwrap()
        .bytes_stream();
    for piece in ["one", "two"] {
        pieces.send(Bytes::from(piece)).await.unwrap();
        assert_eq!(soon(answer.next()).await.unwrap().unwrap(), piece);
    }
    drop(pieces);
    assert!(soon(answer.next()).await.is_none());
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_work_done_for_it() {
    let gateway = Gateway::start();
    let (left, gone) = oneshot::channel::<()>();
    let (entered, inside) = oneshot::channel::<()>();
    let state = Arc::new(Mutex::new(Some((entered, left))));
    let upstream = Upstream::start(Router::new().fallback(move || {
        let (entered, left) = state.lock().unwrap().take().unwrap();
        async move {
            // Dropped with this future, when the server notices that nobody waits.
            let _left = left;
            entered.send(()).unwrap();
            std::future::pending::<()>().await;
        }
    }))
    .await;
    gateway.put(PRODUCTS, &[upstream.address]);
    let request = tokio::spawn(client().get(gateway.url("/api/products")).send());
    soon(inside).await.unwrap();
    request.abort();
    assert!(soon(gone).await.is_err());
}

#[tokio::test]
async fn answers_without_a_body_have_none() {
    let gateway = Gateway::start();
    let upstream = Upstream::start(
        Router::new()
            .route("/products/none", any(async || StatusCode::NO_CONTENT))
            .route(
                "/products/same",
                any(async || (StatusCode::NOT_MODIFIED, [(header::ETAG, "\"1.1\"")])),
            )
            .fallback(async || "twelve bytes"),
    )
    .await;
    gateway.put(PRODUCTS, &[upstream.address]);
    let raw = async |method: &str, path: &str| {
        gateway
            .raw(format!(
                "{method} {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n"
            ))
            .await
    };
    let head = raw("HEAD", "/api/products").await;
    assert!(
        head.contains("content-length: 12\r\n") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    let none = raw("DELETE", "/api/products/none").await;
    assert!(
        none.starts_with("HTTP/1.1 204 ")
            && none.ends_with("\r\n\r\n")
            && !none.contains("content-length"),
        "{none}"
    );
    let same = raw("GET", "/api/products/same").await;
    assert!(
        same.starts_with("HTTP/1.1 304 ")
            && same.ends_with("\r\n\r\n")
            && same.contains("etag: \"1.1\""),
        "{same}"
    );
    let missing = raw("HEAD", "/nowhere").await;
    assert!(
        missing.starts_with("HTTP/1.1 404 ") && missing.ends_with("\r\n\r\n"),
        "{missing}"
    );
}

#[tokio::test]
async fn two_framings_never_make_two_requests() {
    let gateway = Gateway::start();
    let upstream = measure().await;
    gateway.put(ORDERS, &[upstream.address]);
    for (first, second) in [
        ("content-length: 4", "transfer-encoding: chunked"),
        ("transfer-encoding: chunked", "content-length: 4"),
    ] {
        let answer = gateway
            .raw(format!(
                "POST /api/orders HTTP/1.1\r\nhost: shop\r\n{first}\r\n{second}\r\n\r\n0\r\n\r\nGET /api/orders HTTP/1.1\r\nhost: shop\r\n\r\n"
            ))
            .await;
        // The connection ends after the one request; what follows is never read as another.
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    }
    for bad in [
        "transfer-encoding: gzip",
        "transfer-encoding: chunked, identity",
        "content-length: 4\r\ncontent-length: 5",
        "content-length: +4",
    ] {
        let answer = gateway
            .raw(format!(
                "POST /api/orders HTTP/1.1\r\nhost: shop\r\n{bad}\r\n\r\n0000"
            ))
            .await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{bad}: {answer}");
    }
}
