//! Placing, reading and cancelling orders.

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::areas::area;
use crate::shop::{Body, fresh_customer, fresh_key, integer, list, order_of, text, utc_time};
use crate::{Area, Shop};

pub(super) fn area() -> Area {
    area!("orders":
        "an order is placed, priced by the shop and found where Location says" => placed,
        "an order of several products has the right total" => several,
        "stock goes down by an order and back by its cancellation" => stock,
        "cancelling twice is harmless" => cancel_twice,
        "more than there is: 409 says what is short, and takes nothing" => short,
        "an unknown product is refused" => unknown_product,
        "an unknown order is 404" => unknown_order,
        "another customer's orders need the admin token" => others_orders,
        "the admin token lists any customer's orders, newest first" admin => admin_lists,
    )
}

/// What an order has to be; its lines' sum is its total.
fn is_order(order: &Value, status: &str) -> Result<()> {
    let mut fields: Vec<&str> = order
        .as_object()
        .map(|order| order.keys().map(String::as_str).collect())
        .unwrap_or_default();
    fields.sort_unstable();
    let expected = [
        "created_at",
        "currency",
        "customer_id",
        "id",
        "items",
        "status",
        "total_cents",
        "updated_at",
    ];
    ensure!(
        fields == expected,
        "fields {fields:?}, expected {expected:?}"
    );
    let id = Uuid::parse_str(text(order, "id")?)?;
    ensure!(id.get_version_num() == 7, "{id} is no UUIDv7");
    ensure!(order["status"] == status, "expected {status}: {order}");
    let mut total = 0;
    for item in list(order, "items")? {
        ensure!(
            !text(item, "name")?.is_empty() && !text(item, "product_id")?.is_empty(),
            "{item}"
        );
        total += integer(item, "unit_price_cents")? * integer(item, "quantity")?;
    }
    ensure!(
        integer(order, "total_cents")? == total,
        "the lines sum up to {total}: {order}"
    );
    utc_time(order, "created_at")?;
    utc_time(order, "updated_at")
}

async fn placed(shop: &Shop) -> Result<()> {
    let product = shop.some_product().await?;
    let id = text(&product, "id")?;
    let answer = shop.place(&[(id, 2)]).await?;
    let order = answer.is(201)?.json()?;
    is_order(&order, "confirmed")?;
    let line = &order["items"][0];
    let same = |field: &str, expected: &Value| line[field] == *expected;
    ensure!(
        same("unit_price_cents", &product["price_cents"]) && same("name", &product["name"]),
        "{line} is not {product}"
    );
    ensure!(
        order["currency"] == product["currency"] && line["quantity"] == 2,
        "{order}"
    );
    let read = shop.get(answer.need("location")?).await?;
    ensure!(
        read.is(200)?.json()? == order,
        "{read}: not the order that was answered"
    );
    ensure!(
        read.need("cache-control")? == "no-store",
        "{read}: may be stored by caches"
    );
    shop.cancel(text(&order, "id")?).await?;
    Ok(())
}

async fn several(shop: &Shop) -> Result<()> {
    let order = shop
        .place(&[("3", 1), ("1", 2), ("2", 3)])
        .await?
        .is(201)?
        .json()?;
    is_order(&order, "confirmed")?;
    let ids: Vec<_> = list(&order, "items")?
        .iter()
        .map(|item| item["product_id"].clone())
        .collect();
    ensure!(
        ids == ["3", "1", "2"],
        "the items changed their order: {order}"
    );
    ensure!(
        order["total_cents"] == 2 * 99_999 + 3 * 2_999 + 7_999,
        "{order}"
    );
    is_order(&shop.cancel(text(&order, "id")?).await?, "cancelled")
}

async fn stock(shop: &Shop) -> Result<()> {
    let product = shop.some_product().await?;
    let (id, before) = (text(&product, "id")?, integer(&product, "stock")?);
    let order = shop.place(&[(id, 5)]).await?.is(201)?.json()?;
    shop.stock_is(id, before - 5).await?;
    shop.cancel(text(&order, "id")?).await?;
    shop.stock_is(id, before).await
}

async fn cancel_twice(shop: &Shop) -> Result<()> {
    let product = shop.some_product().await?;
    let (id, before) = (text(&product, "id")?, integer(&product, "stock")?);
    let order = shop.place(&[(id, 1)]).await?.is(201)?.json()?;
    let order = text(&order, "id")?;
    let first = shop.cancel(order).await?;
    let second = shop.cancel(order).await?;
    ensure!(first == second, "{first} became {second}");
    let read = shop
        .get(&format!("/api/orders/{order}"))
        .await?
        .is(200)?
        .json()?;
    ensure!(read == second, "{read} is read, {second} was answered");
    shop.stock_is(id, before).await
}

async fn short(shop: &Shop) -> Result<()> {
    let product = shop.some_product().await?;
    let (id, stock) = (text(&product, "id")?, integer(&product, "stock")?);
    let other = if id == "1" { "2" } else { "1" };
    let before = integer(&shop.product(other).await?, "stock")?;
    let answer = shop.place(&[(other, 1), (id, 999)]).await?;
    let problem = answer.problem(&[409])?;
    let expected = json!([{"product_id": id, "requested": 999, "available": stock}]);
    ensure!(
        problem["short"] == expected,
        "{answer}: expected `short` {expected}"
    );
    shop.stock_is(id, stock).await?;
    shop.stock_is(other, before).await
}

async fn unknown_product(shop: &Shop) -> Result<()> {
    let before = integer(&shop.product("1").await?, "stock")?;
    let answer = shop.place(&[("1", 1), ("no-such-product", 1)]).await?;
    let problem = answer.problem(&[422])?;
    ensure!(
        problem.to_string().contains("no-such-product") || problem.to_string().contains("/items/1"),
        "{answer}: names no item"
    );
    shop.stock_is("1", before).await
}

async fn unknown_order(shop: &Shop) -> Result<()> {
    let id = Uuid::new_v4();
    shop.get(&format!("/api/orders/{id}"))
        .await?
        .problem(&[404])?;
    shop.send(
        Method::POST,
        &format!("/api/orders/{id}/cancel"),
        &[],
        Body::Empty,
    )
    .await?
    .problem(&[404])?;
    for odd in ["1", "no-uuid", &"0".repeat(300), "%00"] {
        shop.get(&format!("/api/orders/{odd}"))
            .await?
            .problem(&[400, 404, 422])?;
    }
    Ok(())
}

async fn others_orders(shop: &Shop) -> Result<()> {
    let path = format!("/api/orders?customer_id={}", fresh_customer());
    for fields in [
        vec![],
        vec![("authorization", "Bearer wrong")],
        vec![("authorization", "Basic eDp5")],
    ] {
        let answer = shop.get_with(&path, &fields).await?;
        answer.problem(&[401, 403])?; // 403 where the deployment has no admin token
        ensure!(
            answer.code == 403 || answer.header("www-authenticate").is_some(),
            "{answer}: needs WWW-Authenticate"
        );
    }
    Ok(())
}

async fn admin_lists(shop: &Shop) -> Result<()> {
    let mut body = order_of(&[("2", 1)]);
    let customer = text(&body, "customer_id")?.to_owned();
    let mut placed = Vec::new();
    for quantity in 1..=3 {
        body["items"][0]["quantity"] = json!(quantity);
        let order = shop
            .post("/api/orders", &[("idempotency-key", &fresh_key())], &body)
            .await?
            .is(201)?
            .json()?;
        placed.insert(0, shop.cancel(text(&order, "id")?).await?);
    }
    let bearer = shop.bearer();
    let authorised = [("authorization", bearer.as_str())];
    let path = format!("/api/orders?customer_id={customer}&limit=2");
    let first = shop.get_with(&path, &authorised).await?.is(200)?.json()?;
    let cursor = text(&first, "next_cursor")?;
    let second = shop
        .get_with(&format!("{path}&cursor={cursor}"), &authorised)
        .await?
        .is(200)?
        .json()?;
    let listed: Vec<Value> = [
        list(&first, "items")?.clone(),
        list(&second, "items")?.clone(),
    ]
    .concat();
    ensure!(listed == placed, "listed {listed:?}, placed {placed:?}");
    ensure!(second["next_cursor"].is_null(), "a third page");
    let other = format!(
        "/api/orders?customer_id={}&cursor={cursor}",
        fresh_customer()
    );
    shop.get_with(&other, &authorised).await?.problem(&[400])?;
    Ok(())
}
