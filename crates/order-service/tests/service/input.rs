//! Bad input: refused by name, nothing stored.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    answer::Answer,
    world::{World, order_of},
};

async fn post(world: &World, body: impl Into<reqwest::Body>) -> Result<Answer> {
    let request = world
        .request(Method::POST, "/orders")
        .header("idempotency-key", "k");
    world
        .send(
            request
                .header("content-type", "application/json")
                .body(body),
        )
        .await
}

#[tokio::test]
async fn bad_orders_are_refused_by_field_and_leave_no_trace() -> Result<()> {
    let world = World::new().await?;
    let line = |quantity: Value| json!({"customer_id": "ada", "items": [{"product_id": "1", "quantity": quantity}]});
    let with = |key: &str, value: Value| {
        let mut body = order_of("ada", &[("1", 1)]);
        body[key] = value;
        body
    };
    let long = "x".repeat(300);
    let many: Vec<_> = (0..101)
        .map(|n| json!({"product_id": n.to_string(), "quantity": 1}))
        .collect();
    let cases = [
        (with("customer_id", json!("")), "/customer_id"),
        (with("customer_id", json!(long)), "/customer_id"),
        (with("customer_id", json!("a\0b")), "/customer_id"),
        (with("customer_id", json!("a b")), "/customer_id"),
        (with("customer_id", json!(7)), "/customer_id"),
        (with("colour", json!("red")), "/colour"),
        (json!({"items": []}), "/customer_id"),
        (with("items", json!([])), "/items"),
        (with("items", json!(many)), "/items"),
        (with("items", json!("none")), "/items"),
        (
            order_of("ada", &[("1", 1), ("2", 1), ("1", 1)]),
            "/items/2/product_id",
        ),
        (order_of("ada", &[(&long, 1)]), "/items/0/product_id"),
        (order_of("ada", &[("a\0b", 1)]), "/items/0/product_id"),
        (order_of("ada", &[("..", 1)]), "/items/0/product_id"),
        (line(json!(0)), "/items/0/quantity"),
        (line(json!(-1)), "/items/0/quantity"),
        (line(json!(1000)), "/items/0/quantity"),
        (line(json!(u64::MAX)), "/items/0/quantity"),
        (line(json!(1.5)), "/items/0/quantity"),
        (line(json!("1")), "/items/0/quantity"),
    ];
    for (body, pointer) in cases {
        let answer = post(&world, body.to_string()).await?;
        assert_eq!(
            (answer.status, answer.pointers()),
            (422, vec![pointer]),
            "{body}: {answer:?}"
        );
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    let stored = "SELECT (SELECT count(*) FROM orders) + (SELECT count(*) FROM idempotency_keys)";
    assert_eq!(world.count(stored).await?, 0);
    Ok(())
}

#[tokio::test]
async fn what_is_no_json_or_too_much_of_it_is_refused() -> Result<()> {
    let world = World::new().await?;
    for bad in [
        b"{".to_vec(),
        b"".to_vec(),
        [order_of("ada", &[("1", 1)]).to_string().as_bytes(), b" {}"].concat(),
        b"{\"customer_id\": \"\xff\"}".to_vec(),
    ] {
        post(&world, bad).await?.is(400);
    }
    post(&world, format!("\"{}\"", "x".repeat(2_000_000)))
        .await?
        .is(413);
    let text = world
        .request(Method::POST, "/orders")
        .header("idempotency-key", "k")
        .body("{}");
    world.send(text).await?.is(415);
    let wrong_method = world
        .send(world.request(Method::PUT, "/orders"))
        .await?
        .is(405);
    assert!(wrong_method.header("allow").contains("POST"));
    world.get("/nothing").await?.is(404);
    world.get("/orders/%ff").await?.is(400);
    world.get("/orders?customer_id=%ff").await?.is(400);
    Ok(())
}
