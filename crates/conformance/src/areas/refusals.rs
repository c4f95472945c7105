//! Orders that are well-formed and wrong.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::areas::area;
use crate::shop::{fresh_customer, fresh_key, list, order_of, text};
use crate::{Area, Shop};

pub(super) fn area() -> Area {
    area!("refusals":
        "quantities out of bounds are refused, each named" => quantities,
        "0, 101 or repeated items are refused" => item_lists,
        "a customer id that is empty, over-long or no text is refused" => customer_ids,
        "a client's price is refused" => client_price,
        "what is refused is not stored" admin => nothing_stored,
    )
}

async fn refused(shop: &Shop, body: &Value, pointer: &str) -> Result<()> {
    shop.post("/api/orders", &[("idempotency-key", &fresh_key())], body)
        .await?
        .invalid(pointer)
}

async fn quantities(shop: &Shop) -> Result<()> {
    let bad = [
        json!(0),
        json!(-1),
        json!(1000),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(1.5),
        json!(1e99),
        json!("1"),
        json!(null),
        json!([1]),
    ];
    for quantity in bad {
        let body = json!({"customer_id": fresh_customer(), "items": [
            {"product_id": "1", "quantity": 1}, {"product_id": "2", "quantity": quantity}]});
        refused(shop, &body, "/items/1/quantity").await?;
    }
    Ok(())
}

async fn item_lists(shop: &Shop) -> Result<()> {
    let many: Vec<String> = (0..101).map(|n| format!("p{n}")).collect();
    let many: Vec<(&str, i64)> = many.iter().map(|id| (id.as_str(), 1)).collect();
    refused(shop, &order_of(&[]), "/items").await?;
    refused(shop, &order_of(&many), "/items").await?;
    refused(
        shop,
        &order_of(&[("1", 1), ("2", 1), ("1", 2)]),
        "/items/2/product_id",
    )
    .await?;
    refused(
        shop,
        &order_of(&[(&"x".repeat(300), 1)]),
        "/items/0/product_id",
    )
    .await?;
    refused(shop, &order_of(&[("a\0b", 1)]), "/items/0/product_id").await?;
    refused(shop, &json!({"customer_id": "c", "items": {}}), "/items").await
}

async fn customer_ids(shop: &Shop) -> Result<()> {
    for bad in [
        json!(""),
        json!("x".repeat(1_000)),
        json!("nul\0"),
        json!(7),
        json!(null),
        json!({}),
    ] {
        refused(
            shop,
            &json!({"customer_id": bad, "items": [{"product_id": "1", "quantity": 1}]}),
            "/customer_id",
        )
        .await?;
    }
    Ok(())
}

async fn client_price(shop: &Shop) -> Result<()> {
    let mut body = order_of(&[("1", 1)]);
    body["items"][0]["unit_price_cents"] = json!(1);
    refused(shop, &body, "/items/0/unit_price_cents").await?;
    let mut body = order_of(&[("1", 1)]);
    body["total_cents"] = json!(1);
    refused(shop, &body, "/total_cents").await
}

async fn nothing_stored(shop: &Shop) -> Result<()> {
    let (customer, key) = (fresh_customer(), fresh_key());
    for body in [
        json!({"customer_id": customer, "items": [{"product_id": "1", "quantity": -1}]}),
        json!({"customer_id": customer, "items": [{"product_id": "1", "quantity": 1, "price": 1}]}),
        json!({"customer_id": customer, "items": [{"product_id": "x".repeat(300), "quantity": 1}]}),
        json!({"customer_id": customer, "items": []}),
    ] {
        shop.post("/api/orders", &[("idempotency-key", &key)], &body)
            .await?
            .problem(&[422])?;
    }
    let path = format!("/api/orders?customer_id={customer}");
    let stored = shop
        .get_with(&path, &[("authorization", &shop.bearer())])
        .await?
        .is(200)?
        .json()?;
    ensure!(list(&stored, "items")?.is_empty(), "{stored}");
    // The key is not used up by what was refused.
    let body = json!({"customer_id": customer, "items": [{"product_id": "2", "quantity": 1}]});
    let order = shop
        .post("/api/orders", &[("idempotency-key", &key)], &body)
        .await?
        .is(201)?
        .json()?;
    shop.cancel(text(&order, "id")?).await?;
    Ok(())
}
