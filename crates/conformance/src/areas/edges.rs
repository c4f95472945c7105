//! Requests nobody should send.

use anyhow::{Result, ensure};
use reqwest::Method;

use crate::areas::area;
use crate::shop::{Body, fresh_key};
use crate::{Answer, Area, Shop};

const JSON: (&str, &str) = ("content-type", "application/json");

pub(super) fn area() -> Area {
    area!("edges":
        "malformed JSON is 400" => malformed,
        "bytes that are not UTF-8 are 400" => not_utf8,
        "another content type is 415" => content_type,
        "an unknown field or a wrong type is 422 and pointed at" => shapes,
        "a body too large is 413, announced or not" => too_large,
        "an unknown path is 404" => unknown_path,
        "a method a path does not know is 405 with Allow" => method,
        "dot segments, encoded slashes and broken encodings are 400" => paths,
        "header fields and targets out of measure are 4xx" => out_of_measure,
        "a request with two lengths is refused" => two_lengths,
    )
}

async fn order(shop: &Shop, content: &[u8]) -> Result<Answer> {
    let key = fresh_key();
    shop.send(
        Method::POST,
        "/api/orders",
        &[("idempotency-key", &key), JSON],
        Body::Bytes(content),
    )
    .await
}

async fn malformed(shop: &Shop) -> Result<()> {
    let deep = "[".repeat(50_000);
    for bad in [
        "",
        " ",
        "{",
        "{\"customer_id\":}",
        "nonsense",
        "{}{}",
        "{\"a\":1,}",
        "\u{feff}{}",
        deep.as_str(),
    ] {
        order(shop, bad.as_bytes()).await?.problem(&[400])?;
    }
    Ok(())
}

async fn not_utf8(shop: &Shop) -> Result<()> {
    order(
        shop,
        b"{\"customer_id\":\"\xff\xfe\",\"items\":[{\"product_id\":\"1\",\"quantity\":1}]}",
    )
    .await?
    .problem(&[400])?;
    order(shop, b"\xff\xfe{\0}\0").await?.problem(&[400])?;
    order(
        shop,
        br#"{"customer_id":"\ud800","items":[{"product_id":"1","quantity":1}]}"#,
    )
    .await?
    .problem(&[400, 422])?;
    Ok(())
}

async fn content_type(shop: &Shop) -> Result<()> {
    let body = br#"{"customer_id":"c","items":[{"product_id":"1","quantity":1}]}"#;
    let key = fresh_key();
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/xml",
        "json",
        "application/jsonp",
        "",
    ] {
        let fields = [("idempotency-key", key.as_str()), ("content-type", kind)];
        shop.send(Method::POST, "/api/orders", &fields, Body::Bytes(body))
            .await?
            .problem(&[415])?;
    }
    let fields = [("idempotency-key", key.as_str())];
    shop.send(Method::POST, "/api/orders", &fields, Body::Bytes(body))
        .await?
        .problem(&[415])?;
    Ok(())
}

async fn shapes(shop: &Shop) -> Result<()> {
    for (body, pointer) in [
        (
            r#"{"customer_id":"c","items":[{"product_id":"1","quantity":1}],"coupon":"x"}"#,
            "/coupon",
        ),
        (
            r#"{"customer_id":"c","items":[{"product_id":"1","quantity":1,"gift":true}]}"#,
            "/items/0/gift",
        ),
        (
            r#"{"customer_id":"c","items":[{"product_id":1,"quantity":1}]}"#,
            "/items/0/product_id",
        ),
        (r#"{"customer_id":"c","items":"1"}"#, "/items"),
        (r#"{"customer_id":["c"],"items":[]}"#, "/customer_id"),
    ] {
        order(shop, body.as_bytes()).await?.invalid(pointer)?;
    }
    for wrong in [
        "[]",
        "null",
        "\"text\"",
        "7",
        "{}",
        r#"{"customer_id":"c"}"#,
    ] {
        order(shop, wrong.as_bytes()).await?.problem(&[422])?;
    }
    Ok(())
}

async fn too_large(shop: &Shop) -> Result<()> {
    let large = vec![b' '; 8 * 1024 * 1024];
    shop.send_raw(
        "POST",
        "/api/orders",
        &[("idempotency-key", "k"), JSON],
        &large,
    )
    .await?
    .problem(&[413])?;
    let mut chunked = format!("{:x}\r\n", large.len()).into_bytes();
    chunked.extend(&large);
    chunked.extend(b"\r\n0\r\n\r\n");
    let fields = [
        ("idempotency-key", "k"),
        JSON,
        ("transfer-encoding", "chunked"),
    ];
    shop.send_raw("POST", "/api/orders", &fields, &chunked)
        .await?
        .problem(&[413])?;
    Ok(())
}

async fn unknown_path(shop: &Shop) -> Result<()> {
    for path in [
        "/",
        "/api",
        "/api/",
        "/api/nothing",
        "/products",
        "/api/productsx",
        "/API/products",
        "/api/orders/a/b/c",
        "/favicon.ico",
    ] {
        shop.get(path).await?.problem(&[404])?;
    }
    Ok(())
}

async fn method(shop: &Shop) -> Result<()> {
    for (method, path, allowed) in [
        (Method::POST, "/health", "GET"),
        (Method::DELETE, "/api/products", "POST"),
        (Method::PATCH, "/api/products/1", "PUT"),
        (Method::PUT, "/api/orders", "POST"),
        (
            Method::DELETE,
            "/api/orders/0195a3c2-0000-7000-8000-000000000000",
            "GET",
        ),
        (Method::POST, "/api/cart", "GET"),
        (Method::GET, "/api/cart/checkout", "POST"),
        (Method::TRACE, "/api/products", "GET"),
    ] {
        let answer = shop.send(method.clone(), path, &[], Body::Empty).await?;
        answer.problem(&[405])?;
        let allow: Vec<&str> = answer.need("allow")?.split(',').map(str::trim).collect();
        ensure!(
            allow.contains(&allowed) && !allow.contains(&method.as_str()),
            "{answer}: Allow is {allow:?}"
        );
    }
    Ok(())
}

async fn paths(shop: &Shop) -> Result<()> {
    for path in [
        "/api/../api/products",
        "/api/products/..",
        "/api/products/.",
        "/api/%2e%2e/api/products",
        "/api/products/%2E",
        "/api/products/1%2f..",
        "/api/products%2F1",
        "/api%2fproducts",
        "/api/products/%",
        "/api/products/%zz",
        "/api/products/%ff",
        "/api/products/%00",
        "/api/products/a%5cb",
    ] {
        shop.send_raw("GET", path, &[], b"")
            .await?
            .ours()?
            .problem(&[400])?;
    }
    // Encoded, but plain: the same resource.
    shop.send_raw("GET", "/%61pi/product%73/%31", &[], b"")
        .await?
        .ours()?
        .is(200)?;
    Ok(())
}

async fn out_of_measure(shop: &Shop) -> Result<()> {
    let huge = "x".repeat(200_000);
    let many: Vec<(String, &str)> = (0..2_000).map(|n| (format!("x-{n}"), "y")).collect();
    let many: Vec<(&str, &str)> = many
        .iter()
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    let target = format!("/api/products?q={huge}");
    for (path, fields) in [
        ("/health", vec![("x-huge", huge.as_str())]),
        ("/health", many),
        (target.as_str(), vec![]),
    ] {
        let answer = shop.send_raw("GET", path, &fields, b"").await?;
        ensure!((400..500).contains(&answer.code), "{answer}");
    }
    shop.get("/health").await?.is(200)?;
    Ok(())
}

async fn two_lengths(shop: &Shop) -> Result<()> {
    let fields = [("content-length", "2"), ("content-length", "40"), JSON];
    let answer = shop.send_raw("POST", "/api/orders", &fields, b"{}").await?;
    ensure!(answer.code == 400, "{answer}");
    Ok(())
}
