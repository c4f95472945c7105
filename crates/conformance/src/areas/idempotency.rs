//! The same request, more than once.

use std::collections::HashSet;

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use reqwest::Method;
use serde_json::json;

use crate::areas::area;
use crate::shop::{Body, fresh_customer, fresh_key, integer, order_of, text};
use crate::{Area, Shop};

pub(super) fn area() -> Area {
    area!("idempotency":
        "a repeated order is answered from store, and says so" => replayed,
        "the same key with another body is 422" => other_body,
        "copies in flight become one order" => concurrent,
        "a key is the customer's own" => per_customer,
        "a missing key is 400" => missing_key,
        "a key that is empty, over-long or not visible ASCII is refused" => bad_keys,
        "a refusal for short stock is answered again" => refusal_replayed,
    )
}

async fn replayed(shop: &Shop) -> Result<()> {
    let (key, body) = (fresh_key(), order_of(&[("2", 1)]));
    let fields = [("idempotency-key", key.as_str())];
    let first = shop.post("/api/orders", &fields, &body).await?;
    let order = first.is(201)?.json()?;
    ensure!(
        first.header("idempotency-replayed").is_none(),
        "{first}: the first is no replay"
    );
    let second = shop.post("/api/orders", &fields, &body).await?;
    ensure!(
        second.is(201)?.json()? == order,
        "{second}: another answer than {first}"
    );
    ensure!(
        second.need("idempotency-replayed")? == "true",
        "{second}: does not say that it is a replay"
    );
    ensure!(
        second.header("location") == first.header("location"),
        "{second}: another Location"
    );
    shop.cancel(text(&order, "id")?).await?;
    // White space and the order of fields are no other body; so is a cancelled order no reason to order again.
    let spelt = format!(
        "{{ \"items\": {},\n \"customer_id\": {} }}",
        body["items"], body["customer_id"]
    );
    let fields = [
        ("idempotency-key", key.as_str()),
        ("content-type", "application/json"),
    ];
    let third = shop
        .send(
            Method::POST,
            "/api/orders",
            &fields,
            Body::Bytes(spelt.as_bytes()),
        )
        .await?;
    ensure!(
        third.is(201)?.json()?["id"] == order["id"],
        "{third}: another order than {order}"
    );
    Ok(())
}

async fn other_body(shop: &Shop) -> Result<()> {
    let (key, mut body) = (fresh_key(), order_of(&[("2", 1)]));
    let fields = [("idempotency-key", key.as_str())];
    let order = shop
        .post("/api/orders", &fields, &body)
        .await?
        .is(201)?
        .json()?;
    body["items"][0]["quantity"] = json!(2);
    shop.post("/api/orders", &fields, &body)
        .await?
        .problem(&[422])?;
    shop.cancel(text(&order, "id")?).await?;
    Ok(())
}

async fn concurrent(shop: &Shop) -> Result<()> {
    const COPIES: usize = 10;
    let product = shop.some_product().await?;
    let (id, before) = (text(&product, "id")?, integer(&product, "stock")?);
    let (key, body) = (fresh_key(), order_of(&[(id, 1)]));
    let fields = [("idempotency-key", key.as_str())];
    let answers =
        try_join_all((0..COPIES).map(|_| shop.post("/api/orders", &fields, &body))).await?;
    let mut orders = HashSet::new();
    for answer in &answers {
        orders.insert(text(&answer.is(201)?.json()?, "id")?.to_owned());
    }
    ensure!(
        orders.len() == 1,
        "{} orders from {COPIES} copies",
        orders.len()
    );
    let first = answers
        .iter()
        .filter(|answer| answer.header("idempotency-replayed").is_none())
        .count();
    ensure!(
        first == 1,
        "{first} of {COPIES} copies call themselves the first"
    );
    shop.stock_is(id, before - 1).await?;
    for order in orders {
        shop.cancel(&order).await?;
    }
    shop.stock_is(id, before).await
}

async fn per_customer(shop: &Shop) -> Result<()> {
    let key = fresh_key();
    let fields = [("idempotency-key", key.as_str())];
    let mut ids = HashSet::new();
    for _ in 0..2 {
        let body =
            json!({"customer_id": fresh_customer(), "items": [{"product_id": "2", "quantity": 1}]});
        let order = shop
            .post("/api/orders", &fields, &body)
            .await?
            .is(201)?
            .json()?;
        ids.insert(text(&order, "id")?.to_owned());
        shop.cancel(text(&order, "id")?).await?;
    }
    ensure!(ids.len() == 2, "one customer's key answers another");
    Ok(())
}

async fn missing_key(shop: &Shop) -> Result<()> {
    shop.post("/api/orders", &[], &order_of(&[("1", 1)]))
        .await?
        .problem(&[400])?;
    Ok(())
}

async fn bad_keys(shop: &Shop) -> Result<()> {
    let longest = "k".repeat(128);
    for bad in ["", "two words", "\u{e9}", &"k".repeat(129), "tab\tbed"] {
        shop.post(
            "/api/orders",
            &[("idempotency-key", bad)],
            &order_of(&[("1", 1)]),
        )
        .await?
        .problem(&[400, 422])?;
    }
    let twice = [("idempotency-key", "a"), ("idempotency-key", "b")];
    shop.post("/api/orders", &twice, &order_of(&[("1", 1)]))
        .await?
        .problem(&[400, 422])?;
    let order = shop
        .post(
            "/api/orders",
            &[("idempotency-key", &longest)],
            &order_of(&[("2", 1)]),
        )
        .await?
        .is(201)?
        .json()?;
    shop.cancel(text(&order, "id")?).await?;
    Ok(())
}

async fn refusal_replayed(shop: &Shop) -> Result<()> {
    let product = shop.some_product().await?;
    let (key, body) = (fresh_key(), order_of(&[(text(&product, "id")?, 999)]));
    let fields = [("idempotency-key", key.as_str())];
    let first = shop
        .post("/api/orders", &fields, &body)
        .await?
        .problem(&[409])?;
    let second = shop.post("/api/orders", &fields, &body).await?;
    ensure!(
        second.problem(&[409])?["short"] == first["short"],
        "{second}: another answer than {first}"
    );
    ensure!(
        second.need("idempotency-replayed")? == "true",
        "{second}: does not say that it is a replay"
    );
    Ok(())
}
