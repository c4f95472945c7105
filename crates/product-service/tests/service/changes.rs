//! Changing the catalogue: what is answered is at once what everybody reads.

use crate::shop::{Answer, Shop};
use anyhow::Result;
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn a_product_lives_from_its_creation_to_its_end() -> Result<()> {
    let shop = Shop::open().await?;
    let draft = json!({"id": "lamp", "name": "Lamp", "category": "tests", "price_cents": 1_250, "stock": 4});
    let read = |path: &'static str| shop.get(path);

    // Remembered as missing, and an empty list too: both must not outlive the creation.
    for _ in 0..2 {
        read("/products/lamp").await?.problem(404, "not-found");
        assert_eq!(
            read("/products?category=tests").await?.body["items"],
            json!([])
        );
    }
    let created = shop.admin(Method::POST, "/products", &draft).await?.is(201);
    assert_eq!(created.header("location"), "/products/lamp");
    assert_eq!(created.header("etag"), r#""1.4""#);
    assert_eq!(read("/products/lamp").await?.is(200).body, created.body);
    assert_eq!(
        read("/products?category=tests").await?.body["items"][0]["name"],
        "Lamp"
    );
    let again = shop.admin(Method::POST, "/products", &draft).await?;
    assert_eq!(again.problem(409, "conflict"), ["/id"]);

    let mut change =
        json!({"name": "Bright lamp", "category": "tests", "price_cents": 1_300, "version": 1});
    let changed = shop
        .admin(Method::PUT, "/products/lamp", &change)
        .await?
        .is(200);
    assert_eq!(
        (&changed.body["version"], &changed.body["stock"]),
        (&2.into(), &4.into())
    );
    assert_eq!(read("/products/lamp").await?.body, changed.body);
    assert_eq!(
        read("/products?category=tests").await?.body["items"][0]["price_cents"],
        1_300
    );
    let stale = shop.admin(Method::PUT, "/products/lamp", &change).await?;
    assert_eq!(stale.problem(409, "stale"), ["/version"]);
    change["version"] = 2.into();
    change["stock"] = 9.into();
    let with_stock = shop.admin(Method::PUT, "/products/lamp", &change).await?;
    assert_eq!(with_stock.problem(422, "invalid"), ["/stock"]);

    shop.admin(Method::DELETE, "/products/lamp", &json!({}))
        .await?
        .is(204);
    read("/products/lamp").await?.problem(404, "not-found");
    assert_eq!(
        read("/products?category=tests").await?.body["items"],
        json!([])
    );
    shop.admin(Method::DELETE, "/products/lamp", &json!({}))
        .await?
        .problem(404, "not-found");
    // Orders may name it: its id is not given again.
    let reused = shop.admin(Method::POST, "/products", &draft).await?;
    assert_eq!(reused.problem(409, "conflict"), ["/id"]);
    Ok(())
}

#[tokio::test]
async fn a_stock_movement_counts_once() -> Result<()> {
    let shop = Shop::open().await?;
    shop.create("box", 10).await?;
    assert_eq!(shop.stock("box").await?, 10);
    let moved = |id: &'static str, delta: i64| {
        let body = json!({"id": id, "delta": delta});
        let shop = &shop;
        async move { shop.admin(Method::POST, "/products/box/stock", &body).await }
    };
    for _ in 0..3 {
        let answer = moved("delivery-1", 5).await?.is(200);
        assert_eq!(
            answer.body,
            json!({"id": "delivery-1", "product_id": "box", "delta": 5, "stock": 15})
        );
    }
    assert_eq!(shop.stock("box").await?, 15);
    assert_eq!(
        moved("delivery-1", 6).await?.problem(409, "conflict"),
        ["/id"]
    );
    let elsewhere = json!({"id": "delivery-1", "delta": 5});
    shop.admin(Method::POST, "/products/1/stock", &elsewhere)
        .await?
        .problem(409, "conflict");
    assert_eq!(
        moved("loss-1", -16).await?.problem(409, "conflict"),
        ["/delta"]
    );
    assert_eq!(moved("loss-1", -15).await?.is(200).body["stock"], 0);
    assert_eq!(shop.stock("box").await?, 0);
    shop.admin(Method::POST, "/products/none/stock", &elsewhere)
        .await?
        .problem(404, "not-found");
    Ok(())
}

#[tokio::test]
async fn only_the_token_opens_the_catalogue() -> Result<()> {
    let shop = Shop::open().await?;
    // Nonsense in the body: the token is looked at first.
    for (method, path) in [
        (Method::POST, "/products"),
        (Method::PUT, "/products/1"),
        (Method::DELETE, "/products/1"),
        (Method::POST, "/products/1/stock"),
    ] {
        for header in [None, Some("Bearer wrong"), Some("Basic bGV0LW1lLWlu")] {
            let mut request = shop.request(method.clone(), path).body("{");
            if let Some(header) = header {
                request = request.header("authorization", header);
            }
            let answer = Answer::of(request).await?;
            assert_eq!(answer.header("www-authenticate"), "Bearer");
            answer.problem(401, "unauthorized");
        }
    }
    assert_eq!(shop.get("/products/1").await?.body["version"], 1);
    Ok(())
}
