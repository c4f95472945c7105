//! Copies of a request: one order, one reservation, one answer.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use test_support::Mode;

use crate::answer::Answer;
use crate::world::{World, order_of};

#[tokio::test]
async fn twenty_copies_at_once_over_two_replicas_make_one_order() -> Result<()> {
    let world = World::new().await?;
    let replica = world.replica().await?;
    let product = world.product(100).await?;
    let lines = [(product.as_str(), 3)];
    let copies = (0..20).map(|n| {
        world.place_at(
            if n % 2 == 0 { &world.orders } else { &replica },
            "k",
            &lines,
        )
    });
    let answers: Vec<_> = futures_util::future::try_join_all(copies).await?;

    let first = answers[0].body.clone();
    assert!(
        answers
            .iter()
            .all(|answer| answer.status == 201 && answer.body == first),
        "{answers:?}"
    );
    assert_eq!(
        answers.iter().filter(|answer| !answer.is_replay()).count(),
        1
    );
    assert_eq!(world.count("SELECT count(*) FROM orders").await?, 1);
    assert_eq!(world.stock(&product).await?, 97);
    Ok(())
}

/// PostgreSQL is far away, and the first of the copies waits for product-service.
#[tokio::test]
async fn copies_in_flight_leave_the_connections_to_others() -> Result<()> {
    let mut world = World::new().await?;
    let product = world.product(100).await?;
    let other = world.place("other", &[(&product, 1)]).await?.is(201).id();
    let delay = Duration::from_millis(50);
    world.to_postgres.set(Mode::Delay(delay)).await?;
    world.to_products.set(Mode::Refuse).await?;
    let copies: Vec<_> = (0..150)
        .map(|_| world.start_placing("k", &[(&product, 3)]))
        .collect();
    world.stored_as("pending").await?;
    for _reading in 0..5 {
        world.get(&format!("/orders/{other}")).await?.is(200);
    }
    world.to_products.set(Mode::Forward).await?;

    let mut firsts = 0;
    let mut orders = BTreeSet::new();
    for copy in copies {
        let answer = copy.await??.is(201);
        firsts += usize::from(!answer.is_replay());
        orders.insert(answer.id());
    }
    assert_eq!((firsts, orders.len()), (1, 1));
    assert_eq!(world.stock(&product).await?, 96);
    Ok(())
}

/// The first is at another replica, and so the copy looks whether the database has its answer.
#[tokio::test]
async fn a_copy_that_waits_survives_a_look_that_fails() -> Result<()> {
    let mut world = World::new().await?;
    let replica = world.replica().await?;
    let product = world.product(100).await?;
    let lines = [(product.as_str(), 3)];
    world.to_products.set(Mode::Refuse).await?;
    let first = world.start_placing("k", &lines);
    let id = world.stored_as("pending").await?;
    let at_replica = world.http.post(format!("{}/orders", replica.base_url()));
    let request = at_replica.header("idempotency-key", "k");
    let mut copy = Box::pin(Answer::of(request.json(&order_of("ada", &lines))));
    let a_while = Duration::from_secs(1);
    let early = tokio::time::timeout(a_while, &mut copy).await;
    assert!(early.is_err(), "{early:?}, and nothing is decided");
    let mut sql = world.sql().await?;
    for (table, other) in [("idempotency_keys", "away"), ("away", "idempotency_keys")] {
        let rename = format!("ALTER TABLE {table} RENAME TO {other}");
        sqlx::query(sqlx::AssertSqlSafe(rename))
            .execute(&mut sql)
            .await?;
        let early = tokio::time::timeout(a_while, &mut copy).await;
        assert!(early.is_err(), "{early:?}, and something is stored");
    }
    world.to_products.set(Mode::Forward).await?;
    let (first, copy) = (first.await??.is(201), copy.await?.is(201));
    assert!(copy.is_replay() && copy.body == first.body && copy.id() == id);
    Ok(())
}

#[tokio::test]
async fn a_key_belongs_to_one_customer_and_one_body() -> Result<()> {
    let world = World::new().await?;
    let product = world.product(100).await?;
    let ada = world.place("k", &[(&product, 1)]).await?.is(201);
    let other_body = world.place("k", &[(&product, 2)]).await?.is(422);
    assert_eq!(
        other_body.body["type"],
        "urn:underlay:problem:idempotency-key-reused"
    );

    let request = world
        .request(reqwest::Method::POST, "/orders")
        .header("idempotency-key", "k");
    let bob = world
        .send(request.json(&order_of("bob", &[(&product, 1)])))
        .await?
        .is(201);
    assert!(bob.id() != ada.id() && !bob.is_replay());

    // The same meaning in another spelling is the same body.
    let spelled = format!(
        r#"{{ "items" : [ {{"quantity":1,"product_id":"{product}"}} ], "customer_id":"ada" }}"#
    );
    let request = world
        .request(reqwest::Method::POST, "/orders")
        .header("idempotency-key", "k");
    let again = world
        .send(
            request
                .header("content-type", "application/json")
                .body(spelled),
        )
        .await?
        .is(201);
    assert!(again.is_replay() && again.body == ada.body);
    assert_eq!(world.stock(&product).await?, 98);
    Ok(())
}

#[tokio::test]
async fn a_key_is_kept_for_24_hours() -> Result<()> {
    let world = World::new().await?;
    let product = world.product(100).await?;
    let first = world.place("k", &[(&product, 1)]).await?.is(201);
    let age = |hours: i32| {
        sqlx::query("UPDATE idempotency_keys SET created_at = now() - make_interval(hours => $1)")
            .bind(hours)
    };
    age(23).execute(&mut world.sql().await?).await?;
    assert!(
        world
            .place("k", &[(&product, 1)])
            .await?
            .is(201)
            .is_replay()
    );
    age(25).execute(&mut world.sql().await?).await?;
    let second = world.place("k", &[(&product, 1)]).await?.is(201);
    assert!(!second.is_replay() && second.id() != first.id());
    Ok(())
}

#[tokio::test]
async fn a_stored_answer_does_not_change_with_the_order() -> Result<()> {
    let world = World::new().await?;
    let product = world.product(100).await?;
    let placed = world.place("k", &[(&product, 1)]).await?.is(201);
    world.cancel(&placed.id()).await?.is(200);
    let copy = world.place("k", &[(&product, 1)]).await?.is(201);
    assert!(copy.is_replay() && copy.body == placed.body);
    Ok(())
}

#[tokio::test]
async fn a_copy_outlives_the_replica_that_took_the_order() -> Result<()> {
    let mut world = World::with(&[
        ("ORDERS__ANSWER_WITHIN_MS", "400"),
        ("ORDERS__LEASE_MS", "500"),
    ])
    .await?;
    let product = world.product(100).await?;
    world.to_products.set(Mode::Refuse).await?;
    let lost = world.start_placing("k", &[(&product, 1)]);
    let id = world.stored_as("pending").await?;
    world.crash();
    assert!(lost.await?.is_err());

    world.restart().await?;
    world.to_products.set(Mode::Forward).await?;
    world.order_becomes(&id, "confirmed").await?;
    let copy = world.place("k", &[(&product, 1)]).await?.is(201);
    assert!(copy.is_replay() && copy.id() == id);
    Ok(())
}

#[tokio::test]
async fn a_missing_or_unusable_key_is_400_and_5xx_are_not_kept() -> Result<()> {
    let mut world = World::new().await?;
    let product = world.product(100).await?;
    let post = || {
        world
            .request(reqwest::Method::POST, "/orders")
            .json(&order_of("ada", &[(&product, 1)]))
    };
    world.send(post()).await?.is(400);
    for bad in ["", "with space", "ümlaut", &"x".repeat(129)] {
        world
            .send(post().header("idempotency-key", bad))
            .await?
            .is(400);
    }
    world
        .send(
            post()
                .header("idempotency-key", "a")
                .header("idempotency-key", "b"),
        )
        .await?
        .is(400);
    world
        .send(post().header("idempotency-key", "x".repeat(128)))
        .await?
        .is(201);

    world.to_postgres.set(Mode::Refuse).await?;
    world.place("k", &[(&product, 1)]).await?.is(503);
    world.to_postgres.set(Mode::Forward).await?;
    assert!(
        !world
            .place("k", &[(&product, 1)])
            .await?
            .is(201)
            .is_replay()
    );
    Ok(())
}
