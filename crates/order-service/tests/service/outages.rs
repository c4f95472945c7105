//! Stores that are away: said so, and over as soon as they are back.

use anyhow::Result;
use test_support::{Mode, eventually};

use crate::{answer::is_unavailable, world::World};

async fn readiness_becomes(world: &World, status: u16) -> Result<()> {
    eventually(&format!("/ready answers {status}"), || async {
        let answer = world.get("/ready").await?;
        anyhow::ensure!(answer.status == status, "{answer:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn without_postgresql_it_is_alive_unready_and_recovers_by_itself() -> Result<()> {
    let mut world = World::new().await?;
    let product = world.product(10).await?;
    let id = world.place("k", &[(&product, 1)]).await?.is(201).id();
    world.to_postgres.set(Mode::Refuse).await?;
    is_unavailable(&world.place("l", &[(&product, 1)]).await?);
    is_unavailable(&world.get(&format!("/orders/{id}")).await?);
    is_unavailable(&world.cancel(&id).await?);
    readiness_becomes(&world, 503).await?;
    world.get("/health").await?.is(200);
    assert!(world.orders.is_running());

    world.to_postgres.set(Mode::Forward).await?;
    readiness_becomes(&world, 200).await?;
    world.place("l", &[(&product, 1)]).await?.is(201);
    assert_eq!(world.stock(&product).await?, 8);
    Ok(())
}

#[tokio::test]
async fn it_starts_without_postgresql_and_migrates_when_it_comes() -> Result<()> {
    let server = test_support::postgres().await?;
    let empty = server.empty_database().await?;
    let mut to_postgres = test_support::FaultProxy::start(server.address()).await?;
    to_postgres.set(Mode::Refuse).await?;
    let url = server.tcp_url(to_postgres.address(), empty.name());
    let world = World::unready(&[("DATABASE_URL", &url)]).await?;
    world.get("/ready").await?.is(503);
    world.get("/started").await?.is(503);
    is_unavailable(&world.place("k", &[("1", 1)]).await?);

    to_postgres.set(Mode::Forward).await?;
    readiness_becomes(&world, 200).await?;
    let product = world.product(10).await?;
    world.place("k", &[(&product, 1)]).await?.is(201);
    Ok(())
}

#[tokio::test]
async fn a_decision_that_cannot_be_stored_is_made_later() -> Result<()> {
    let mut world = World::with(&[
        ("ORDERS__ANSWER_WITHIN_MS", "700"),
        ("ORDERS__LEASE_MS", "800"),
    ])
    .await?;
    let product = world.product(10).await?;
    world.to_products.set(Mode::Refuse).await?;
    let placing = world.start_placing("k", &[(&product, 1)]);
    let id = world.stored_as("pending").await?;
    world.to_postgres.set(Mode::Refuse).await?;
    world.to_products.set(Mode::Forward).await?;
    // Never 503 once the order is stored: it is pending as far as anybody knows.
    assert_eq!(placing.await??.is(202).id(), id);
    world.stock_becomes(&product, 9).await?;
    world.to_postgres.set(Mode::Forward).await?;
    world.order_becomes(&id, "confirmed").await?;
    assert_eq!(world.stock(&product).await?, 9);
    Ok(())
}

#[tokio::test]
async fn without_redis_carts_are_away_and_orders_are_not() -> Result<()> {
    let mut world = World::new().await?;
    let product = world.product(10).await?;
    world.redis.kill();
    is_unavailable(&world.get("/cart").await?);
    let put = world.request(reqwest::Method::PUT, &format!("/cart/items/{product}"));
    is_unavailable(
        &world
            .send(put.json(&serde_json::json!({"quantity": 1})))
            .await?,
    );
    let checkout = world.request(reqwest::Method::POST, "/cart/checkout");
    is_unavailable(
        &world
            .send(checkout.json(&serde_json::json!({"customer_id": "ada"})))
            .await?,
    );
    world.place("k", &[(&product, 1)]).await?.is(201);
    world.get("/ready").await?.is(200);

    world.redis.restart().await?;
    eventually("carts are back", || async {
        let answer = world.get("/cart").await?;
        anyhow::ensure!(answer.status == 200, "{answer:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn told_to_end_it_finishes_what_it_began() -> Result<()> {
    let mut world = World::new().await?;
    let product = world.product(10).await?;
    world.to_products.set(Mode::Blackhole { after: 0 }).await?;
    let placing = world.start_placing("k", &[(&product, 1)]);
    world.stock_becomes(&product, 9).await?;
    let replica = world.replica().await?;
    let ending = tokio::spawn(std::mem::replace(&mut world.orders, replica).term());
    world.to_products.set(Mode::Forward).await?;
    placing.await??.is(201);
    assert_eq!(ending.await??, 0);
    Ok(())
}

#[tokio::test]
async fn a_postgresql_that_hangs_is_away_too() -> Result<()> {
    let mut world = World::new().await?;
    let product = world.product(10).await?;
    world.to_postgres.set(Mode::Blackhole { after: 0 }).await?;
    is_unavailable(&world.place("k", &[(&product, 1)]).await?);
    readiness_becomes(&world, 503).await?;

    world.to_postgres.set(Mode::Forward).await?;
    world.to_postgres.cut();
    readiness_becomes(&world, 200).await?;
    world.place("k", &[(&product, 1)]).await?.is(201);
    assert_eq!(world.stock(&product).await?, 9);
    Ok(())
}
