//! Bad input is a 4xx that names the field, and leaves nothing behind.

use crate::shop::{Answer, Shop, TOKEN};
use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

#[tokio::test]
async fn bad_queries_name_their_parameter() -> Result<()> {
    let shop = Shop::open().await?;
    let cursor = shop.get("/products?limit=2").await?.body["next_cursor"]
        .as_str()
        .unwrap()
        .to_owned();
    let long = "x".repeat(101);
    for (query, pointer) in [
        ("limit=0".to_owned(), "/limit"),
        ("limit=101".into(), "/limit"),
        ("limit=many".into(), "/limit"),
        ("limit=".into(), "/limit"),
        (format!("q={long}"), "/q"),
        ("q=a%00b".into(), "/q"),
        ("q=a+b+c+d+e+f+g+h+i".into(), "/q"),
        ("category=%00".into(), "/category"),
        (format!("category={long}"), "/category"),
        ("sort=price".into(), "/sort"),
    ] {
        let answer = shop.get(&format!("/products?{query}")).await?;
        assert_eq!(answer.problem(422, "invalid"), [pointer], "{query}");
    }
    for query in [
        "cursor=AAAA".to_owned(),
        "cursor=%F0%9F%A6%80".into(),
        format!("cursor={cursor}A"),
        format!("cursor={}", &cursor[1..]),
        format!("q=mouse&cursor={cursor}"),
        format!("category=mice&cursor={cursor}"),
    ] {
        let answer = shop.get(&format!("/products?{query}")).await?;
        assert_eq!(answer.problem(400, "malformed"), ["/cursor"], "{query}");
    }
    shop.get("/products?q=%ff").await?.problem(400, "malformed");
    shop.get("/products/%ff").await?.problem(400, "malformed");
    for id in ["a%00b", "a%20b", &"x".repeat(65)] {
        let answer = shop.get(&format!("/products/{id}")).await?;
        assert_eq!(answer.problem(422, "invalid"), ["/id"], "{id}");
    }
    Ok(())
}

#[tokio::test]
async fn bad_products_name_their_field_and_are_not_stored() -> Result<()> {
    let shop = Shop::open().await?;
    let draft = json!({"id": "bad", "name": "Bad", "description": "", "category": "tests", "price_cents": 1, "stock": 1});
    let cases: Vec<(&str, Value)> = vec![
        ("id", json!("a/b")),
        ("id", json!("")),
        ("id", json!("x".repeat(65))),
        ("id", json!(7)),
        ("name", json!("nul\0")),
        ("name", json!("  ")),
        ("name", json!("x".repeat(201))),
        ("name", Value::Null),
        ("description", json!("x".repeat(2_001))),
        ("category", json!("\u{7f}")),
        ("price_cents", json!(-1)),
        ("price_cents", json!(9.99)),
        ("price_cents", json!("999")),
        ("price_cents", json!(u64::MAX)),
        ("stock", json!(-1)),
        ("stock", json!(i64::MAX)),
        ("discount", json!(10)),
    ];
    for (field, bad) in cases {
        let mut product = draft.clone();
        product[field] = bad.clone();
        let answer = shop.admin(Method::POST, "/products", &product).await?;
        assert_eq!(
            answer.problem(422, "invalid"),
            [format!("/{field}")],
            "{field}: {bad}"
        );
    }
    for field in ["id", "name", "category", "price_cents"] {
        let mut product = draft.clone();
        product.as_object_mut().unwrap().remove(field);
        let answer = shop.admin(Method::POST, "/products", &product).await?;
        assert_eq!(answer.problem(422, "invalid"), [format!("/{field}")]);
    }
    for (body, status, slug) in [
        (b"{\"id\":".to_vec(), 400, "malformed"),
        (b"{\"id\":\"\xff\"}".to_vec(), 400, "malformed"),
        (br#"{"id":"\ud800"}"#.to_vec(), 400, "malformed"),
        (vec![b' '; 1 << 20], 413, "body-too-large"),
    ] {
        let request = shop
            .request(Method::POST, "/products")
            .bearer_auth(TOKEN)
            .header("content-type", "application/json");
        Answer::of(request.body(body)).await?.problem(status, slug);
    }
    let form = shop
        .request(Method::POST, "/products")
        .bearer_auth(TOKEN)
        .body("id=bad");
    Answer::of(form)
        .await?
        .problem(415, "unsupported-media-type");
    shop.get("/products/bad").await?.problem(404, "not-found");

    for delta in [
        json!(0),
        json!(1.5),
        json!("1"),
        json!(1_000_001),
        json!(u64::MAX),
    ] {
        let movement = json!({"id": "m", "delta": delta});
        let answer = shop
            .admin(Method::POST, "/products/1/stock", &movement)
            .await?;
        assert_eq!(answer.problem(422, "invalid"), ["/delta"]);
    }
    assert_eq!(shop.stock("1").await?, 50);
    Ok(())
}

#[tokio::test]
async fn bad_reservations_name_their_line() -> Result<()> {
    let shop = Shop::open().await?;
    let order = Uuid::new_v4();
    let answer = shop.reserve(order, &[]).await?;
    assert_eq!(answer.problem(422, "invalid"), ["/items"]);
    for quantity in [0, -1, 1_000, i64::MAX] {
        let answer = shop.reserve(order, &[("1", 1), ("2", quantity)]).await?;
        assert_eq!(answer.problem(422, "invalid"), ["/items/1/quantity"]);
    }
    let twice = shop.reserve(order, &[("1", 1), ("2", 1), ("1", 2)]).await?;
    assert_eq!(twice.problem(422, "invalid"), ["/items/2/product_id"]);
    let unknown = shop
        .reserve(order, &[("none", 1), ("1", 1), ("nil", 1)])
        .await?;
    assert_eq!(
        unknown.problem(422, "invalid"),
        ["/items/0/product_id", "/items/2/product_id"]
    );
    let ids: Vec<String> = (0..101).map(|n| n.to_string()).collect();
    let many: Vec<_> = ids.iter().map(|id| (id.as_str(), 1)).collect();
    assert_eq!(
        shop.reserve(order, &many).await?.problem(422, "invalid"),
        ["/items"]
    );
    let odd = shop
        .request(Method::PUT, "/reservations/7")
        .json(&json!({"items": []}));
    assert_eq!(
        Answer::of(odd).await?.problem(422, "invalid"),
        ["/order_id"]
    );
    // None of it left a trace: the order can still be reserved, with a field of a later release.
    let body = json!({"items": [{"product_id": "1", "quantity": 1, "gift": true}], "priority": 1});
    let request = shop.request(Method::PUT, &format!("/reservations/{order}"));
    Answer::of(request.json(&body)).await?.is(200);
    assert_eq!(shop.stock("1").await?, 49);
    Ok(())
}
