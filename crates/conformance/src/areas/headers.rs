//! The gateway's health and the header fields of every answer.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::json;

use crate::areas::area;
use crate::shop::Body;
use crate::{Area, Shop, eventually};

pub(super) fn area() -> Area {
    area!("headers":
        "the gateway says that it is healthy" => health,
        "a client's request id comes back, on problems too" => request_id_is_echoed,
        "a request without a usable request id gets a new one" => request_id_is_minted,
        "x-served-by names the instance that made the answer" => served_by,
        "a traceparent, well-formed or not, disturbs nothing" => traceparent,
        "HEAD answers like GET, without the body" => head,
        "products are served in exact rotation by every instance" => rotation,
    )
}

async fn health(shop: &Shop) -> Result<()> {
    let answer = shop.get("/health").await?;
    let health = answer.is(200)?.json()?;
    ensure!(
        health["status"] == "healthy" && health["service"] == "api-gateway",
        "{answer}"
    );
    Ok(())
}

async fn request_id_is_echoed(shop: &Shop) -> Result<()> {
    let longest = "x".repeat(64);
    for id in ["a", "conformance:1/2", longest.as_str()] {
        for path in [
            "/health",
            "/api/products/1",
            "/api/products/no-such-product",
            "/no/such/path",
        ] {
            let answer = shop.get_with(path, &[("x-request-id", id)]).await?;
            ensure!(
                answer.need("x-request-id")? == id,
                "{answer}: x-request-id {id:?} did not come back"
            );
            if answer.code == 404 {
                answer.problem(&[404])?; // and with it that `instance` is the id
            }
        }
    }
    Ok(())
}

async fn request_id_is_minted(shop: &Shop) -> Result<()> {
    let mut seen = HashSet::new();
    for unusable in [
        None,
        None,
        Some("x".repeat(65)),
        Some("two words".into()),
        Some("\u{e9}".into()),
        Some(String::new()),
    ] {
        let fields: Vec<(&str, &str)> = unusable
            .iter()
            .map(|id| ("x-request-id", id.as_str()))
            .collect();
        let answer = shop.get_with("/api/products/1", &fields).await?;
        let id = answer.need("x-request-id")?.to_owned();
        ensure!(
            unusable.as_ref() != Some(&id) && id.bytes().all(|byte| byte.is_ascii_graphic()),
            "request id {id:?}"
        );
        ensure!(
            id.len() <= 64 && seen.insert(id.clone()),
            "request id {id:?} is long, or not new"
        );
    }
    Ok(())
}

async fn served_by(shop: &Shop) -> Result<()> {
    let own = shop.get("/health").await?.need("x-served-by")?.to_owned();
    let nowhere = shop
        .get("/no/such/path")
        .await?
        .need("x-served-by")?
        .to_owned();
    let product = shop
        .get("/api/products/1")
        .await?
        .need("x-served-by")?
        .to_owned();
    let missing = shop.get("/api/products/no-such-product").await?;
    let order = shop
        .post("/api/orders", &[], &json!({}))
        .await?
        .need("x-served-by")?
        .to_owned();
    ensure!(
        product != own && order != own && product != order,
        "{own}, {product} and {order} are three instances"
    );
    ensure!(
        missing.need("x-served-by")? != own,
        "{missing}: the gateway signed another's answer"
    );
    ensure!(
        nowhere != product && nowhere != order,
        "{nowhere} answered what only a gateway can"
    );
    Ok(())
}

async fn traceparent(shop: &Shop) -> Result<()> {
    let well_formed = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let zero = "00-00000000000000000000000000000000-0000000000000000-00";
    for value in [well_formed, zero, "ff-nonsense", "", "00-"] {
        shop.get_with(
            "/api/products/1",
            &[("traceparent", value), ("tracestate", "a=b")],
        )
        .await?
        .is(200)?;
    }
    Ok(())
}

async fn head(shop: &Shop) -> Result<()> {
    for path in ["/api/products", "/api/products/1"] {
        let answer = shop.send(Method::HEAD, path, &[], Body::Empty).await?;
        answer.is(200)?;
        ensure!(answer.body.is_empty(), "{answer}: a body");
        ensure!(
            answer.need("content-type")?.starts_with("application/json"),
            "{answer}: another content type than GET"
        );
    }
    Ok(())
}

/// Tried again when it does not hold: on a living shop other customers' requests take turns too.
async fn rotation(shop: &Shop) -> Result<()> {
    const REQUESTS: usize = 60;
    eventually(|| async {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for _ in 0..REQUESTS {
            let answer = shop.get("/api/products").await?;
            *counts
                .entry(answer.is(200)?.need("x-served-by")?.to_owned())
                .or_default() += 1;
        }
        let (least, most) = (counts.values().min(), counts.values().max());
        ensure!(
            most.zip(least)
                .is_some_and(|(most, least)| most - least <= 1),
            "an uneven spread: {counts:?}"
        );
        Ok(())
    })
    .await
}
