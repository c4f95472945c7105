//! Changing the catalogue.

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::areas::area;
use crate::shop::{Body, integer, list, text};
use crate::{Answer, Area, Shop, eventually};

pub(super) fn area() -> Area {
    area!("admin":
        "without the token, or with another, nothing changes" => forbidden,
        "a product is created, found, and not created twice" admin => create,
        "an update needs the current version and sets no stock" admin => update,
        "a deleted product is gone for customers" admin => delete,
        "a stock movement counts once, and never goes below zero" admin => movement,
        "bad fields are refused, each named" admin => bad_fields,
    )
}

fn draft(id: &str) -> Value {
    json!({"id": id, "name": "Conformance sample", "description": "Made by a test.", "category": "conformance", "price_cents": 1234, "stock": 10})
}

fn fresh_id() -> String {
    format!("conformance-{}", Uuid::new_v4().simple())
}

async fn admin(shop: &Shop, method: Method, path: &str, body: Body<'_>) -> Result<Answer> {
    shop.send(method, path, &[("authorization", &shop.bearer())], body)
        .await
}

/// A new product with ten pieces in stock: its id and what was answered.
async fn created(shop: &Shop) -> Result<(String, Value)> {
    let id = fresh_id();
    let product = admin(shop, Method::POST, "/api/products", Body::Json(&draft(&id)))
        .await?
        .is(201)?
        .json()?;
    Ok((id, product))
}

async fn deleted(shop: &Shop, id: &str) -> Result<()> {
    admin(
        shop,
        Method::DELETE,
        &format!("/api/products/{id}"),
        Body::Empty,
    )
    .await?
    .is(204)?;
    Ok(())
}

async fn forbidden(shop: &Shop) -> Result<()> {
    let before = shop.product("1").await?;
    let update = json!({"name": "Stolen", "description": "", "category": "x", "price_cents": 1, "version": before["version"]});
    let movement = json!({"id": fresh_id(), "delta": 1});
    for (method, path, body) in [
        (Method::POST, "/api/products", draft(&fresh_id())),
        (Method::PUT, "/api/products/1", update),
        (Method::DELETE, "/api/products/1", json!({})),
        (Method::POST, "/api/products/1/stock", movement),
    ] {
        for credentials in [
            None,
            Some("Bearer wrong"),
            Some("Bearer "),
            Some("Basic YWRtaW46YWRtaW4="),
            Some("wrong"),
        ] {
            let fields: Vec<(&str, &str)> = credentials
                .iter()
                .map(|value| ("authorization", *value))
                .collect();
            let answer = shop
                .send(method.clone(), path, &fields, Body::Json(&body))
                .await?;
            answer.problem(&[401, 403])?; // 403 where the deployment has no admin token
            ensure!(
                answer.code == 401 || !shop.has_admin_token(),
                "{answer}: expected 401"
            );
            ensure!(
                answer.code == 403 || answer.header("www-authenticate").is_some(),
                "{answer}: needs WWW-Authenticate"
            );
        }
    }
    let after = shop.product("1").await?;
    ensure!(
        before["version"] == after["version"] && before["name"] == after["name"],
        "{before} became {after}"
    );
    Ok(())
}

async fn create(shop: &Shop) -> Result<()> {
    let id = fresh_id();
    shop.get(&format!("/api/products/{id}"))
        .await?
        .problem(&[404])?; // and is remembered as missing
    let answer = admin(shop, Method::POST, "/api/products", Body::Json(&draft(&id))).await?;
    let product = answer.is(201)?.json()?;
    ensure!(
        product["id"] == id.as_str() && product["stock"] == 10 && product["price_cents"] == 1234,
        "{answer}"
    );
    let read = shop.product(&id).await?;
    ensure!(read == product, "{read} is read, {product} was created");
    if let Some(location) = answer.header("location") {
        ensure!(
            shop.get(location).await?.is(200)?.json()? == product,
            "{answer}: Location {location} is another product"
        );
    }
    let found = shop
        .get("/api/products?category=conformance&limit=100")
        .await?
        .is(200)?
        .json()?;
    ensure!(
        list(&found, "items")?
            .iter()
            .any(|item| item["id"] == id.as_str()),
        "a new product is not listed"
    );
    admin(shop, Method::POST, "/api/products", Body::Json(&draft(&id)))
        .await?
        .problem(&[409])?;
    deleted(shop, &id).await
}

async fn update(shop: &Shop) -> Result<()> {
    let (id, product) = created(shop).await?;
    let path = format!("/api/products/{id}");
    let mut change = json!({"name": "Renamed", "description": "", "category": "conformance", "price_cents": 1, "version": product["version"]});
    let renamed = admin(shop, Method::PUT, &path, Body::Json(&change))
        .await?
        .is(200)?
        .json()?;
    ensure!(
        renamed["name"] == "Renamed"
            && integer(&renamed, "version")? > integer(&product, "version")?,
        "{renamed}"
    );
    ensure!(
        renamed["stock"] == 10,
        "an update changed the stock: {renamed}"
    );
    ensure!(
        shop.product(&id).await? == renamed,
        "the old version is still read"
    );
    admin(shop, Method::PUT, &path, Body::Json(&change))
        .await?
        .problem(&[409])?;
    change["version"] = renamed["version"].clone();
    change["stock"] = json!(99);
    admin(shop, Method::PUT, &path, Body::Json(&change))
        .await?
        .invalid("/stock")?;
    let missing = format!("/api/products/{}", fresh_id());
    let valid =
        json!({"name": "x", "description": "", "category": "x", "price_cents": 1, "version": 1});
    admin(shop, Method::PUT, &missing, Body::Json(&valid))
        .await?
        .problem(&[404])?;
    deleted(shop, &id).await
}

async fn delete(shop: &Shop) -> Result<()> {
    let (id, _) = created(shop).await?;
    let order = shop.place(&[(&id, 1)]).await?.is(201)?.json()?;
    deleted(shop, &id).await?;
    shop.get(&format!("/api/products/{id}"))
        .await?
        .problem(&[404])?;
    let found = shop
        .get("/api/products?category=conformance&limit=100")
        .await?
        .is(200)?
        .json()?;
    ensure!(
        list(&found, "items")?
            .iter()
            .all(|item| item["id"] != id.as_str()),
        "a deleted product is listed"
    );
    shop.place(&[(&id, 1)]).await?.problem(&[409, 422])?;
    // What was bought before stays readable and can still be returned.
    shop.cancel(text(&order, "id")?).await?;
    let again = admin(
        shop,
        Method::DELETE,
        &format!("/api/products/{id}"),
        Body::Empty,
    )
    .await?;
    ensure!([204, 404].contains(&again.code), "{again}");
    Ok(())
}

async fn movement(shop: &Shop) -> Result<()> {
    let (id, _) = created(shop).await?;
    let path = format!("/api/products/{id}/stock");
    let delivery = json!({"id": fresh_id(), "delta": 5});
    for _ in 0..3 {
        admin(shop, Method::POST, &path, Body::Json(&delivery))
            .await?
            .is(200)?;
    }
    eventually(|| shop.stock_is(&id, 15)).await?;
    let other = json!({"id": delivery["id"], "delta": 6});
    admin(shop, Method::POST, &path, Body::Json(&other))
        .await?
        .problem(&[409, 422])?;
    let too_much = json!({"id": fresh_id(), "delta": -16});
    admin(shop, Method::POST, &path, Body::Json(&too_much))
        .await?
        .problem(&[409])?;
    for bad in [
        json!(0),
        json!(1.5),
        json!("1"),
        json!(null),
        json!(i64::MIN),
        json!(u64::MAX),
    ] {
        admin(
            shop,
            Method::POST,
            &path,
            Body::Json(&json!({"id": fresh_id(), "delta": bad})),
        )
        .await?
        .invalid("/delta")?;
    }
    let all = json!({"id": fresh_id(), "delta": -15});
    admin(shop, Method::POST, &path, Body::Json(&all))
        .await?
        .is(200)?;
    shop.stock_is(&id, 0).await?;
    shop.place(&[(&id, 1)]).await?.problem(&[409])?;
    deleted(shop, &id).await
}

async fn bad_fields(shop: &Shop) -> Result<()> {
    for (field, bad) in [
        ("name", json!("")),
        ("name", json!("x".repeat(10_000))),
        ("name", json!("nul\0")),
        ("price_cents", json!(-1)),
        ("price_cents", json!(9.99)),
        ("price_cents", json!(u64::MAX)),
        ("stock", json!(-1)),
        ("id", json!("a/b")),
        ("id", json!("x".repeat(300))),
        ("discount", json!(1)),
    ] {
        let mut product = draft(&fresh_id());
        product[field] = bad;
        admin(shop, Method::POST, "/api/products", Body::Json(&product))
            .await?
            .invalid(&format!("/{field}"))?;
    }
    Ok(())
}
