use std::net::SocketAddr;

use axum::{Json, Router, routing::get};
use common::registry::{Endpoint, Endpoints, Watch};
use serde_json::json;

use super::*;

/// A product-service that sells one thing, named after itself.
async fn instance(name: &'static str) -> SocketAddr {
    let product = json!({"id": "1", "name": name, "price_cents": 1, "currency": "USD"});
    let app = Router::new().route("/products/1", get(move || async { Json(product) }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

fn passing(addresses: &[SocketAddr]) -> Products {
    let endpoint = |(index, &address)| Endpoint {
        id: format!("product-service-{index}").parse().unwrap(),
        address,
        generation: 1,
        metadata: std::collections::BTreeMap::new(),
    };
    let endpoints = addresses.iter().enumerate().map(endpoint).collect();
    let view = Endpoints::from_iter([("product-service".parse().unwrap(), endpoints)]);
    let view = tokio::sync::watch::Sender::new(Arc::new(view)).subscribe();
    Products::new(Instances::watched(Watch::fixed(view))).unwrap()
}

async fn served_by(products: &Products) -> String {
    products.product("1").await.unwrap().unwrap().name
}

#[tokio::test]
async fn calls_go_to_the_passing_instances_in_turn() {
    let products = passing(&[
        instance("a").await,
        instance("b").await,
        instance("c").await,
    ]);
    let mut names = Vec::new();
    for _ in 0..6 {
        names.push(served_by(&products).await);
    }
    assert_eq!(names, ["a", "b", "c", "a", "b", "c"]);
}

#[tokio::test]
async fn an_instance_that_cannot_be_connected_to_is_passed_over() {
    let products = passing(&[test_support::free_address(), instance("b").await]);
    for _ in 0..4 {
        assert_eq!(served_by(&products).await, "b");
    }
}

#[tokio::test]
async fn without_an_instance_nothing_is_known() {
    let products = passing(&[]);
    assert!(matches!(
        products.product("1").await,
        Err(ProductsError::NoInstance)
    ));
    assert_eq!(
        products.reserve(Uuid::nil(), &[]).await,
        Reservation::Unknown
    );
    assert!(!products.release(Uuid::nil()).await);
}

fn meaning(status: u16, problem: serde_json::Value) -> Option<Reservation> {
    let refusal: Refusal = serde_json::from_value(problem).unwrap();
    refusal.meaning(StatusCode::from_u16(status).unwrap())
}

#[test]
fn refusals_are_read_by_their_members_and_others_are_not_guessed_at() {
    let short = serde_json::json!({"type": "urn:underlay:problem:short",
        "short": [{"product_id": "1", "requested": 5, "available": 2}]});
    let line = Shortage {
        product_id: "1".into(),
        requested: 5,
        available: 2,
    };
    assert_eq!(meaning(409, short), Some(Reservation::Short(vec![line])));

    let unknown =
        serde_json::json!({"errors": [{"pointer": "/items/3/product_id", "detail": "unknown"}]});
    assert_eq!(
        meaning(422, unknown),
        Some(Reservation::UnknownProducts(vec![3]))
    );

    let released =
        serde_json::json!({"type": "urn:underlay:problem:released", "title": "Released"});
    assert_eq!(meaning(409, released), Some(Reservation::Refused));

    assert_eq!(
        meaning(422, serde_json::json!({"errors": [{"pointer": "/items"}]})),
        None
    );
    assert_eq!(
        meaning(409, serde_json::json!({"from": "some proxy"})),
        None
    );
}
