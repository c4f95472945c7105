//! Cancelling.

use anyhow::Result;
use test_support::Mode;

use crate::world::World;

#[tokio::test]
async fn cancelling_returns_the_stock_and_repeating_it_changes_nothing() -> Result<()> {
    let world = World::new().await?;
    let product = world.product(10).await?;
    let id = world.place("k", &[(&product, 4)]).await?.is(201).id();
    let first = world.cancel(&id).await?.is(200);
    assert_eq!(
        (first.body["status"].as_str(), world.stock(&product).await?),
        (Some("cancelled"), 10)
    );
    let second = world.cancel(&id).await?.is(200);
    assert_eq!(second.body, first.body);
    assert_eq!(world.get(&format!("/orders/{id}")).await?.body, first.body);
    assert_eq!(world.stock(&product).await?, 10);
    Ok(())
}

#[tokio::test]
async fn a_pending_order_can_be_cancelled_and_a_reservation_on_its_way_takes_nothing() -> Result<()>
{
    let mut world = World::with(&[("ORDERS__ANSWER_WITHIN_MS", "100")]).await?;
    let product = world.product(10).await?;
    world.to_products.set(Mode::Blackhole { after: 0 }).await?;
    let id = world.place("k", &[(&product, 4)]).await?.is(202).id();
    world.stock_becomes(&product, 6).await?;
    assert_eq!(world.cancel(&id).await?.is(200).body["status"], "cancelled");
    world.to_products.set(Mode::Forward).await?;
    world.stock_becomes(&product, 10).await?;
    let copy = world.place("k", &[(&product, 4)]).await?.is(409);
    assert!(copy.is_replay());
    assert_eq!(copy.body["order_id"], id.as_str());
    Ok(())
}

#[tokio::test]
async fn an_order_is_cancellable_for_a_time_only() -> Result<()> {
    let world = World::with(&[("ORDERS__CANCEL_WINDOW_MS", "3600000")]).await?;
    let product = world.product(10).await?;
    let id = world.place("k", &[(&product, 4)]).await?.is(201).id();
    let long_ago = "UPDATE orders SET updated_at = now() - interval '61 minutes'";
    sqlx::query(long_ago)
        .execute(&mut world.sql().await?)
        .await?;
    world.cancel(&id).await?.is(409);
    assert_eq!(
        world.get(&format!("/orders/{id}")).await?.body["status"],
        "confirmed"
    );
    assert_eq!(world.stock(&product).await?, 6);
    Ok(())
}

#[tokio::test]
async fn what_is_no_order_cannot_be_cancelled() -> Result<()> {
    let world = World::new().await?;
    for id in ["00000000-0000-7000-8000-000000000000", "1", "no-uuid"] {
        world.cancel(id).await?.is(404);
        world.get(&format!("/orders/{id}")).await?.is(404);
    }
    Ok(())
}
