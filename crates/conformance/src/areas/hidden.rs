//! What the public door must not lead to.

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::areas::area;
use crate::shop::Body;
use crate::{Area, Shop};

pub(super) fn area() -> Area {
    area!("hidden":
        "reservations are not reachable, however spelt" => reservations,
        "the admin port's pages are not on the public port" => admin_pages,
        "the services' own health and metrics are not reachable" => service_pages,
    )
}

async fn reservations(shop: &Shop) -> Result<()> {
    let id = Uuid::new_v4();
    let body = json!({"items": [{"product_id": "1", "quantity": 1}]});
    for path in [
        format!("/api/reservations/{id}"),
        format!("/reservations/{id}"),
        "/api/reservations".into(),
    ] {
        for method in [Method::GET, Method::PUT, Method::DELETE, Method::POST] {
            shop.send(method, &path, &[], Body::Json(&body))
                .await?
                .problem(&[404])?;
        }
    }
    let body = body.to_string();
    for path in [
        format!("/api/%72eservations/{id}"),
        format!("/api//reservations/{id}"),
        format!("//reservations/{id}"),
        format!("/api/products/../reservations/{id}"),
        format!("/api/products/%2e%2e/reservations/{id}"),
        format!("/api/products/..%2freservations/{id}"),
        format!("/api/products/..%5creservations/{id}"),
        format!("/api/products/..;/reservations/{id}"),
        format!("/api/Reservations/{id}"),
        format!("/api/products/reservations/{id}"),
    ] {
        let fields = [("content-type", "application/json")];
        let answer = shop
            .send_raw("PUT", &path, &fields, body.as_bytes())
            .await?
            .ours()?;
        ensure!([400, 404, 405].contains(&answer.code), "{answer}");
        answer.problem(&[answer.code])?;
    }
    Ok(())
}

async fn admin_pages(shop: &Shop) -> Result<()> {
    for path in [
        "/metrics",
        "/ready",
        "/started",
        "/upstreams",
        "/api/metrics",
        "/api/upstreams",
    ] {
        shop.get(path).await?.problem(&[404])?;
    }
    Ok(())
}

async fn service_pages(shop: &Shop) -> Result<()> {
    for path in [
        "/api/health",
        "/api/ready",
        "/api/v1/services",
        "/v1/services",
        "/register",
        "/services",
        "/discover/product-service",
    ] {
        shop.get(path).await?.problem(&[404])?;
    }
    Ok(())
}
