//! Stock for orders: never sold twice, never lost.

use crate::shop::Shop;
use anyhow::Result;
use proptest::prelude::*;
use reqwest::Method;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::task::JoinSet;
use uuid::Uuid;

#[tokio::test]
async fn an_order_is_reserved_repeated_and_given_back_once() -> Result<()> {
    let shop = Shop::open().await?;
    let order = Uuid::now_v7();
    assert_eq!((shop.stock("2").await?, shop.stock("1").await?), (200, 50));
    let expected = json!({
        "items": [
            {"product_id": "1", "name": "Laptop", "unit_price_cents": 99_999, "quantity": 2},
            {"product_id": "2", "name": "Mouse", "unit_price_cents": 2_999, "quantity": 3},
        ],
        "currency": "USD",
    });
    // Repeated, in another order of lines, and after the price has changed: the same answer, and stock taken once.
    for items in [[("2", 3), ("1", 2)], [("1", 2), ("2", 3)]] {
        assert_eq!(shop.reserve(order, &items).await?.is(200).body, expected);
        let version = shop.get("/products/1").await?.body["version"].clone();
        let change =
            json!({"name": "Laptop", "category": "laptops", "price_cents": 5, "version": version});
        shop.admin(Method::PUT, "/products/1", &change)
            .await?
            .is(200);
    }
    assert_eq!((shop.stock("2").await?, shop.stock("1").await?), (197, 48));
    for other in [
        &[("1", 2)][..],
        &[("1", 2), ("2", 4)],
        &[("1", 2), ("3", 3)],
    ] {
        shop.reserve(order, other).await?.problem(409, "conflict");
    }

    for _ in 0..3 {
        shop.release(order).await?;
    }
    assert_eq!((shop.stock("2").await?, shop.stock("1").await?), (200, 50));
    shop.reserve(order, &[("1", 2), ("2", 3)])
        .await?
        .problem(409, "released");

    // A release that overtakes its reservation wins.
    let early = Uuid::now_v7();
    shop.release(early).await?;
    shop.reserve(early, &[("1", 1)])
        .await?
        .problem(409, "released");
    assert_eq!(shop.stock("1").await?, 50);
    Ok(())
}

#[tokio::test]
async fn a_short_or_deleted_line_takes_nothing() -> Result<()> {
    let shop = Shop::open().await?;
    shop.create("rare", 2).await?;
    shop.create("gone", 9).await?;
    let held = Uuid::now_v7();
    shop.reserve(held, &[("gone", 4)]).await?.is(200);

    let short = shop
        .reserve(Uuid::now_v7(), &[("3", 1), ("rare", 3), ("1", 51)])
        .await?
        .is(409);
    assert_eq!(
        short.body["short"],
        json!([
            {"product_id": "1", "requested": 51, "available": 50},
            {"product_id": "rare", "requested": 3, "available": 2},
        ])
    );
    assert_eq!(short.problem(409, "short-stock"), Vec::<String>::new());
    assert_eq!(
        (shop.stock("3").await?, shop.stock("rare").await?),
        (150, 2)
    );

    shop.admin(Method::DELETE, "/products/gone", &json!({}))
        .await?
        .is(204);
    let deleted = shop
        .reserve(Uuid::now_v7(), &[("3", 1), ("gone", 1)])
        .await?;
    assert_eq!(deleted.problem(422, "invalid"), ["/items/1/product_id"]);
    assert_eq!(shop.stock("3").await?, 150);
    // What was bought before can still be given back.
    shop.release(held).await
}

#[tokio::test]
async fn fifty_buyers_of_ten_pieces_are_ten_buyers() -> Result<()> {
    let shop = Arc::new(Shop::open().await?);
    shop.create("last-ten", 10).await?;
    let mut buyers = JoinSet::new();
    for _ in 0..50 {
        let shop = Arc::clone(&shop);
        buyers.spawn(async move { shop.reserve(Uuid::now_v7(), &[("last-ten", 1)]).await });
    }
    let mut answers = HashMap::new();
    while let Some(answer) = buyers.join_next().await {
        *answers.entry(answer??.status).or_insert(0) += 1;
    }
    assert_eq!(answers, HashMap::from([(200, 10), (409, 40)]));
    assert_eq!(shop.stock("last-ten").await?, 0);
    Ok(())
}

/// One buyer's doings with one of a few orders.
#[derive(Debug, Clone)]
enum Deed {
    Reserve(usize, Vec<(usize, i64)>),
    Release(usize),
    Deliver(usize, i64),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let lines = prop::collection::btree_map(0..4_usize, 1..4_i64, 1..4);
    prop::collection::vec(
        prop_oneof![
            3 => (0..12_usize, lines).prop_map(|(order, lines)| {
                // Against the order of locking, to provoke a deadlock if the order of lines mattered.
                Deed::Reserve(order, lines.into_iter().rev().collect())
            }),
            2 => (0..12_usize).prop_map(Deed::Release),
            1 => (0..4_usize, -3..4_i64).prop_map(|(product, delta)| Deed::Deliver(product, delta)),
        ],
        1..60,
    )
}

#[test]
fn whatever_happens_at_once_pieces_are_conserved() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let shop = runtime.block_on(Shop::open()).unwrap();
    let shop = Arc::new(shop);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(12));
    let outcome = runner.run(&deeds(), |deeds| {
        runtime.block_on(conserved(&shop, &deeds)).unwrap();
        Ok(())
    });
    outcome.unwrap();
}

/// Does everything at once, gives everything back, then counts: there is what there was and what came.
async fn conserved(shop: &Arc<Shop>, deeds: &[Deed]) -> Result<()> {
    let tag = Uuid::new_v4().simple().to_string();
    let ids: Arc<Vec<String>> = Arc::new((0..4).map(|n| format!("p{n}-{tag}")).collect());
    let orders: Vec<Uuid> = (0..12).map(|_| Uuid::now_v7()).collect();
    for id in ids.iter() {
        shop.create(id, 6).await?;
    }
    let mut doing = JoinSet::new();
    for (n, deed) in deeds.iter().cloned().enumerate() {
        let (shop, ids, orders) = (Arc::clone(shop), Arc::clone(&ids), orders.clone());
        let movement = format!("m{n}-{tag}");
        doing.spawn(async move {
            match deed {
                Deed::Reserve(order, lines) => {
                    let items: Vec<_> = lines.iter().map(|(n, q)| (ids[*n].as_str(), *q)).collect();
                    let answer = shop.reserve(orders[order], &items).await?;
                    assert!([200, 409].contains(&answer.status), "{answer:?}");
                }
                Deed::Release(order) => shop.release(orders[order]).await?,
                Deed::Deliver(_, 0) => {}
                Deed::Deliver(product, delta) => {
                    let body = json!({"id": movement, "delta": delta});
                    let path = format!("/products/{}/stock", ids[product]);
                    let answer = shop.admin(Method::POST, &path, &body).await?;
                    assert!([200, 409].contains(&answer.status), "{answer:?}");
                    if answer.status == 200 {
                        return Ok(HashMap::from([(product, delta)]));
                    }
                }
            }
            Ok::<_, anyhow::Error>(HashMap::new())
        });
    }
    let mut came = [0_i64; 4];
    while let Some(done) = doing.join_next().await {
        for (product, delta) in done?? {
            came[product] += delta;
        }
    }
    for id in ids.iter() {
        assert!(shop.stock(id).await? >= 0);
    }
    for order in orders {
        shop.release(order).await?;
    }
    for (n, id) in ids.iter().enumerate() {
        assert_eq!(shop.stock(id).await?, 6 + came[n], "{id}: {deeds:?}");
    }
    Ok(())
}
