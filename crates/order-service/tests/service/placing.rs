//! An order, from its request to its answer.

use anyhow::Result;
use test_support::Mode;

use crate::world::World;

#[tokio::test]
async fn an_order_is_priced_by_the_catalogue_confirmed_and_found_where_location_says() -> Result<()>
{
    let world = World::new().await?;
    let (mouse, keyboard) = (world.product(10).await?, world.product(10).await?);
    let placed = world
        .place("k", &[(&mouse, 2), (&keyboard, 1)])
        .await?
        .is(201);
    assert_eq!(placed.body["status"], "confirmed");
    assert_eq!(placed.body["total_cents"], 3 * 2_999);
    assert_eq!(placed.body["items"][0]["name"], format!("Thing {mouse}"));
    assert_eq!(
        placed.header("location"),
        format!("/orders/{}", placed.id())
    );
    assert!(!placed.is_replay());

    let read = world.get(placed.header("location")).await?.is(200);
    assert_eq!(read.body, placed.body);
    assert_eq!(read.header("cache-control"), "no-store");
    assert_eq!(
        (world.stock(&mouse).await?, world.stock(&keyboard).await?),
        (8, 9)
    );
    Ok(())
}

#[tokio::test]
async fn short_stock_cancels_the_order_says_what_is_short_and_takes_nothing() -> Result<()> {
    let world = World::new().await?;
    let (plenty, few) = (world.product(10).await?, world.product(2).await?);
    let answer = world.place("k", &[(&plenty, 1), (&few, 3)]).await?.is(409);
    assert_eq!(
        answer.body["short"],
        serde_json::json!([{"product_id": few, "requested": 3, "available": 2}])
    );
    let id = answer.body["order_id"].as_str().unwrap();
    world.order_becomes(id, "cancelled").await?;
    assert_eq!(
        (world.stock(&plenty).await?, world.stock(&few).await?),
        (10, 2)
    );
    let again = world.place("k", &[(&plenty, 1), (&few, 3)]).await?.is(409);
    assert!(again.is_replay() && again.body["short"] == answer.body["short"]);
    Ok(())
}

#[tokio::test]
async fn an_unknown_product_is_named_and_no_order_is_stored() -> Result<()> {
    let world = World::new().await?;
    let known = world.product(10).await?;
    let answer = world
        .place("k", &[(&known, 1), ("no-such-product", 1)])
        .await?
        .is(422);
    assert_eq!(answer.pointers(), ["/items/1/product_id"]);
    assert_eq!(world.count("SELECT count(*) FROM orders").await?, 0);
    assert!(
        world
            .place("k", &[(&known, 1), ("no-such-product", 1)])
            .await?
            .is(422)
            .is_replay()
    );
    assert_eq!(world.stock(&known).await?, 10);
    Ok(())
}

#[tokio::test]
async fn an_order_that_is_not_decided_in_time_is_answered_202_and_finished_later() -> Result<()> {
    let mut world = World::with(&[("ORDERS__ANSWER_WITHIN_MS", "150")]).await?;
    let product = world.product(10).await?;
    world.to_products.set(Mode::Refuse).await?;
    let accepted = world.place("k", &[(&product, 4)]).await?.is(202);
    assert_eq!(accepted.body["status"], "pending");
    assert!(accepted.body["total_cents"].is_null());
    assert_eq!(
        accepted.header("location"),
        format!("/orders/{}", accepted.id())
    );
    let copy = world.place("k", &[(&product, 4)]).await?.is(202);
    assert!(copy.is_replay() && copy.id() == accepted.id());

    world.to_products.set(Mode::Forward).await?;
    let confirmed = world.order_becomes(&accepted.id(), "confirmed").await?;
    let copy = world.place("k", &[(&product, 4)]).await?.is(201);
    assert!(copy.is_replay() && copy.body == confirmed);
    assert_eq!(world.stock(&product).await?, 6);
    Ok(())
}

#[tokio::test]
async fn an_answer_that_is_lost_is_asked_for_again_and_stock_is_taken_once() -> Result<()> {
    let mut world = World::new().await?;
    let product = world.product(10).await?;
    world.to_products.set(Mode::CutAfter(0)).await?;
    let placing = world.start_placing("k", &[(&product, 1)]);
    world.stock_becomes(&product, 9).await?;
    world.to_products.set(Mode::Forward).await?;
    placing.await??.is(201);
    assert_eq!(world.stock(&product).await?, 9);
    Ok(())
}

#[tokio::test]
async fn a_product_unknown_to_a_repeated_request_cancels_instead_of_forgetting() -> Result<()> {
    let mut world = World::with(&[("ORDERS__ANSWER_WITHIN_MS", "100")]).await?;
    world.to_products.set(Mode::Refuse).await?;
    let accepted = world.place("k", &[("no-such-product", 1)]).await?.is(202);
    world.to_products.set(Mode::Forward).await?;
    // The client knows the order, so it stays to be seen.
    world.order_becomes(&accepted.id(), "cancelled").await?;
    let copy = world.place("k", &[("no-such-product", 1)]).await?.is(422);
    assert_eq!(copy.pointers(), ["/items/0/product_id"]);
    Ok(())
}
