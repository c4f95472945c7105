//! Crashes between the steps of the saga: the order is finished by the next process, and stock is taken or returned once.

use anyhow::Result;
use sqlx::Connection;
use test_support::Mode;

use crate::world::World;

const QUICK: &[(&str, &str)] = &[
    ("ORDERS__ANSWER_WITHIN_MS", "400"),
    ("ORDERS__LEASE_MS", "500"),
];

#[tokio::test]
async fn after_the_insert_before_the_reservation() -> Result<()> {
    let mut world = World::with(QUICK).await?;
    let product = world.product(10).await?;
    world.to_products.set(Mode::Refuse).await?;
    drop(world.start_placing("k", &[(&product, 2)]));
    let id = world.stored_as("pending").await?;
    world.crash();
    assert_eq!(world.stock(&product).await?, 10);

    world.to_products.set(Mode::Forward).await?;
    world.restart().await?;
    let order = world.order_becomes(&id, "confirmed").await?;
    assert_eq!(order["total_cents"], 2 * 2_999);
    assert_eq!(world.stock(&product).await?, 8);
    Ok(())
}

#[tokio::test]
async fn after_the_reservation_before_its_answer() -> Result<()> {
    let mut world = World::with(QUICK).await?;
    let product = world.product(10).await?;
    world.to_products.set(Mode::Blackhole { after: 0 }).await?;
    drop(world.start_placing("k", &[(&product, 2)]));
    world.stock_becomes(&product, 8).await?;
    world.crash();
    let id = world.stored_as("pending").await?;

    world.to_products.set(Mode::Forward).await?;
    world.restart().await?;
    world.order_becomes(&id, "confirmed").await?;
    assert_eq!(world.stock(&product).await?, 8);
    Ok(())
}

#[tokio::test]
async fn after_the_reservation_s_answer_before_the_decision() -> Result<()> {
    let mut world = World::with(QUICK).await?;
    let product = world.product(10).await?;
    world.to_products.set(Mode::Refuse).await?;
    drop(world.start_placing("k", &[(&product, 2)]));
    let id = world.stored_as("pending").await?;
    // A row lock held by somebody else keeps the decision from being written.
    let mut sql = world.sql().await?;
    let mut held = sql.begin().await?;
    sqlx::query("SELECT FROM orders FOR UPDATE")
        .execute(&mut *held)
        .await?;
    world.to_products.set(Mode::Forward).await?;
    world.stock_becomes(&product, 8).await?;
    world.crash();
    held.rollback().await?;
    assert_eq!(world.stored_as("pending").await?, id);

    world.restart().await?;
    world.order_becomes(&id, "confirmed").await?;
    assert_eq!(world.stock(&product).await?, 8);
    Ok(())
}

#[tokio::test]
async fn after_the_decision_before_the_client_has_its_answer() -> Result<()> {
    let mut world = World::with(QUICK).await?;
    let product = world.product(10).await?;
    drop(world.start_placing("k", &[(&product, 2)]));
    let id = world.stored_as("confirmed").await?;
    world.crash();

    world.restart().await?;
    let copy = world.place("k", &[(&product, 2)]).await?.is(201);
    assert!(copy.is_replay() && copy.id() == id);
    assert_eq!(world.stock(&product).await?, 8);
    Ok(())
}

#[tokio::test]
async fn after_a_cancellation_before_the_release() -> Result<()> {
    let mut world = World::with(QUICK).await?;
    let product = world.product(10).await?;
    let id = world.place("k", &[(&product, 2)]).await?.is(201).id();
    world.to_products.set(Mode::Refuse).await?;
    world.cancel(&id).await?.is(200);
    world.crash();
    assert_eq!(world.stock(&product).await?, 8);

    world.to_products.set(Mode::Forward).await?;
    world.restart().await?;
    world.stock_becomes(&product, 10).await?;
    assert_eq!(
        world.order_becomes(&id, "cancelled").await?["total_cents"],
        2 * 2_999
    );
    Ok(())
}

#[tokio::test]
async fn after_the_release_before_its_answer() -> Result<()> {
    let mut world = World::with(QUICK).await?;
    let product = world.product(10).await?;
    let id = world.place("k", &[(&product, 2)]).await?.is(201).id();
    world.to_products.set(Mode::Blackhole { after: 0 }).await?;
    let cancelling = tokio::spawn(
        world
            .request(reqwest::Method::POST, &format!("/orders/{id}/cancel"))
            .send(),
    );
    world.stock_becomes(&product, 10).await?;
    world.crash();
    assert!(cancelling.await?.is_err());

    world.to_products.set(Mode::Forward).await?;
    world.restart().await?;
    nothing_is_due(&world).await?;
    assert_eq!(world.stock(&product).await?, 10);
    Ok(())
}

#[tokio::test]
async fn several_replicas_recover_a_backlog_without_taking_stock_twice() -> Result<()> {
    let mut world = World::with(&[
        ("ORDERS__ANSWER_WITHIN_MS", "50"),
        ("ORDERS__LEASE_MS", "2000"),
    ])
    .await?;
    let product = world.product(1_000).await?;
    world.to_products.set(Mode::Refuse).await?;
    for n in 0..30 {
        world
            .place(&format!("k{n}"), &[(&product, 10)])
            .await?
            .is(202);
    }
    let _replicas = (world.replica().await?, world.replica().await?);
    world.to_products.set(Mode::Forward).await?;
    nothing_is_due(&world).await?;
    assert_eq!(
        world
            .count("SELECT count(*) FROM orders WHERE status = 'confirmed'")
            .await?,
        30
    );
    assert_eq!(world.stock(&product).await?, 700);
    Ok(())
}

async fn nothing_is_due(world: &World) -> Result<()> {
    test_support::eventually("nothing is left to do", || async {
        let due = world
            .count("SELECT count(*) FROM orders WHERE due_at IS NOT NULL")
            .await?;
        anyhow::ensure!(due == 0, "{due} orders are due");
        Ok(())
    })
    .await
}
