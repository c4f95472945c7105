//! Whose orders a list shows.

use anyhow::Result;
use reqwest::Method;
use serde_json::Value;

use crate::{
    answer::Answer,
    world::{ADMIN, World, order_of},
};

const SID: &str = "sid=0123456789abcdef0123456789abcdef";

async fn place_in_session(world: &World, sid: &str, key: &str, product: &str) -> Result<Value> {
    let request = world
        .request(Method::POST, "/orders")
        .header("idempotency-key", key)
        .header("cookie", sid);
    Ok(world
        .send(request.json(&order_of("ada", &[(product, 1)])))
        .await?
        .is(201)
        .body)
}

async fn list(world: &World, query: &str, header: (&str, &str)) -> Result<Answer> {
    world
        .send(
            world
                .request(Method::GET, &format!("/orders{query}"))
                .header(header.0, header.1),
        )
        .await
}

#[tokio::test]
async fn a_session_sees_its_own_orders_newest_first_page_by_page() -> Result<()> {
    let world = World::new().await?;
    let product = world.product(100).await?;
    let mut placed = Vec::new();
    for n in 0..3 {
        placed.insert(
            0,
            place_in_session(&world, SID, &format!("k{n}"), &product).await?,
        );
    }
    place_in_session(
        &world,
        "sid=ffffffffffffffffffffffffffffffff",
        "other",
        &product,
    )
    .await?;

    let first = list(&world, "?limit=2", ("cookie", SID)).await?.is(200);
    assert_eq!(first.header("cache-control"), "no-store");
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let second = list(
        &world,
        &format!("?limit=2&cursor={cursor}"),
        ("cookie", SID),
    )
    .await?
    .is(200);
    let pages = [
        first.body["items"].as_array().unwrap().as_slice(),
        second.body["items"].as_array().unwrap(),
    ]
    .concat();
    assert_eq!(pages, placed);
    assert!(second.body["next_cursor"].is_null());

    let nobody = world.get("/orders").await?.is(200);
    assert_eq!(nobody.body["items"], serde_json::json!([]));
    Ok(())
}

#[tokio::test]
async fn another_customer_s_orders_need_the_admin_token() -> Result<()> {
    let world = World::new().await?;
    let product = world.product(100).await?;
    let placed = world.place("k", &[(&product, 1)]).await?.is(201);
    let bearer = format!("Bearer {ADMIN}");
    let listed = list(&world, "?customer_id=ada", ("authorization", &bearer))
        .await?
        .is(200);
    assert_eq!(listed.body["items"][0], placed.body);
    let none = list(&world, "?customer_id=bob", ("authorization", &bearer))
        .await?
        .is(200);
    assert_eq!(none.body["items"], serde_json::json!([]));

    for wrong in ["Bearer nope", "Basic eDp5", ""] {
        let refused = list(&world, "?customer_id=ada", ("authorization", wrong))
            .await?
            .is(401);
        assert!(
            refused.header("www-authenticate").starts_with("Bearer"),
            "{refused:?}"
        );
    }
    let without = World::with(&[("ADMIN_TOKEN", "")]).await?;
    list(&without, "?customer_id=ada", ("authorization", "Bearer "))
        .await?
        .is(403);
    Ok(())
}

#[tokio::test]
async fn a_cursor_is_bound_to_its_list() -> Result<()> {
    let world = World::new().await?;
    let product = world.product(100).await?;
    for n in 0..2 {
        world
            .place(&format!("k{n}"), &[(&product, 1)])
            .await?
            .is(201);
    }
    let bearer = format!("Bearer {ADMIN}");
    let authorised = ("authorization", bearer.as_str());
    let page = list(&world, "?customer_id=ada&limit=1", authorised)
        .await?
        .is(200);
    let cursor = page.body["next_cursor"].as_str().unwrap();
    list(
        &world,
        &format!("?customer_id=ada&cursor={cursor}"),
        authorised,
    )
    .await?
    .is(200);
    for query in [
        format!("?customer_id=bob&cursor={cursor}"),
        format!("?cursor={cursor}"),
        "?customer_id=ada&cursor=x".into(),
    ] {
        let refused = list(&world, &query, authorised).await?.is(400);
        assert_eq!(refused.pointers(), ["/cursor"]);
    }
    for (query, pointer) in [
        ("?limit=0", "/limit"),
        ("?limit=101", "/limit"),
        ("?limit=x", "/limit"),
        ("?colour=red", "/colour"),
    ] {
        assert_eq!(
            list(&world, query, authorised).await?.is(422).pointers(),
            [pointer]
        );
    }
    Ok(())
}
