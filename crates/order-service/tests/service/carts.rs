//! Carts and their checkout.

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::json;
use test_support::{Mode, eventually};

use crate::{
    answer::{Answer, is_unavailable},
    world::World,
};

/// A browser: it keeps its cookie.
struct Browser<'a> {
    world: &'a World,
    cookie: String,
}

impl<'a> Browser<'a> {
    async fn open(world: &'a World) -> Result<Self> {
        let mut browser = Self {
            world,
            cookie: String::new(),
        };
        browser.cart().await?.is(200);
        Ok(browser)
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Option<serde_json::Value>,
    ) -> Result<Answer> {
        let mut request = self
            .world
            .request(method, path)
            .header("cookie", &self.cookie);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = self.world.send(request).await?;
        if let Some(cookie) = answer.headers.get("set-cookie") {
            self.cookie = cookie
                .to_str()?
                .split(';')
                .next()
                .unwrap_or_default()
                .to_owned();
        }
        Ok(answer)
    }

    async fn cart(&mut self) -> Result<Answer> {
        self.send(Method::GET, "/cart", None).await
    }

    async fn put(&mut self, product: &str, quantity: i64) -> Result<Answer> {
        self.send(
            Method::PUT,
            &format!("/cart/items/{product}"),
            Some(json!({"quantity": quantity})),
        )
        .await
    }

    async fn checkout(&mut self) -> Result<Answer> {
        self.send(
            Method::POST,
            "/cart/checkout",
            Some(json!({"customer_id": "ada"})),
        )
        .await
    }
}

#[tokio::test]
async fn a_cart_is_filled_priced_changed_checked_out_and_empty() -> Result<()> {
    let world = World::new().await?;
    let (one, two) = (world.product(10).await?, world.product(10).await?);
    let mut browser = Browser::open(&world).await?;
    browser.put(&two, 5).await?.is(200);
    browser.put(&one, 1).await?.is(200);
    let cart = browser.put(&two, 3).await?.is(200);
    let ids: Vec<_> = cart.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["product_id"].clone())
        .collect();
    assert_eq!(ids, [two.as_str(), one.as_str()]);
    assert_eq!(
        (&cart.body["total_cents"], &cart.body["currency"]),
        (&json!(4 * 2_999), &json!("USD"))
    );
    let less = browser
        .send(Method::DELETE, &format!("/cart/items/{one}"), None)
        .await?
        .is(200);
    assert_eq!(less.body["items"].as_array().unwrap().len(), 1);
    browser
        .send(Method::DELETE, &format!("/cart/items/{one}"), None)
        .await?
        .is(200);

    let order = browser.checkout().await?.is(201);
    assert_eq!(
        (order.body["total_cents"].clone(), order.is_replay()),
        (json!(3 * 2_999), false)
    );
    assert_eq!(
        world.get(order.header("location")).await?.is(200).body,
        order.body
    );
    assert_eq!(browser.cart().await?.body["items"], json!([]));
    assert_eq!(
        browser.send(Method::GET, "/orders", None).await?.body["items"][0],
        order.body
    );

    // The answer was lost and the browser asks again: the same order, though the cart is empty now.
    let again = browser.checkout().await?.is(201);
    assert!(again.is_replay() && again.body == order.body);
    assert_eq!(world.stock(&two).await?, 7);
    Ok(())
}

#[tokio::test]
async fn the_cookie_is_random_hidden_from_scripts_and_replaced_when_made_up() -> Result<()> {
    let world = World::new().await?;
    let fresh = world.get("/cart").await?.is(200);
    let cookie = fresh.header("set-cookie");
    assert!(
        cookie.ends_with("; Path=/; Max-Age=604800; HttpOnly; SameSite=Lax"),
        "{cookie}"
    );
    let sid = cookie.split(';').next().unwrap().to_owned();
    let kept = world
        .send(world.request(Method::GET, "/cart").header("cookie", &sid))
        .await?;
    assert!(kept.header("set-cookie").starts_with(&sid));
    for made_up in ["sid=00000000000000000000000000000000", "sid=x", "sid="] {
        let answer = world
            .send(
                world
                    .request(Method::GET, "/cart")
                    .header("cookie", made_up),
            )
            .await?
            .is(200);
        assert!(
            !answer
                .header("set-cookie")
                .starts_with(&format!("{made_up};"))
        );
    }
    let tls = world
        .request(Method::GET, "/cart")
        .header("x-forwarded-proto", "https");
    assert!(
        world
            .send(tls)
            .await?
            .header("set-cookie")
            .ends_with("; Secure")
    );
    Ok(())
}

#[tokio::test]
async fn checkouts_at_once_make_one_order_and_a_changed_cart_another() -> Result<()> {
    let world = World::new().await?;
    let product = world.product(100).await?;
    let mut browser = Browser::open(&world).await?;
    browser.put(&product, 2).await?.is(200);
    let requests = (0..8).map(|_| {
        let request = world
            .request(Method::POST, "/cart/checkout")
            .header("cookie", &browser.cookie);
        world.send(request.json(&json!({"customer_id": "ada"})))
    });
    let answers = futures_util::future::try_join_all(requests).await?;
    let first = answers[0].id();
    assert!(
        answers
            .iter()
            .all(|answer| answer.status == 201 && answer.id() == first),
        "{answers:?}"
    );
    assert_eq!(world.stock(&product).await?, 98);

    browser.put(&product, 1).await?.is(200);
    assert_ne!(browser.checkout().await?.is(201).id(), first);
    assert_eq!(world.stock(&product).await?, 97);
    Ok(())
}

#[tokio::test]
async fn a_refused_checkout_keeps_the_cart_and_can_be_tried_again() -> Result<()> {
    let world = World::new().await?;
    let product = world.product(1).await?;
    let mut browser = Browser::open(&world).await?;
    browser.put(&product, 2).await?.is(200);
    browser.checkout().await?.is(409);
    assert_eq!(browser.cart().await?.body["items"][0]["quantity"], 2);
    // Not the stored 409: the stock may have come in meanwhile.
    assert!(!browser.checkout().await?.is(409).is_replay());
    browser.put(&product, 1).await?.is(200);
    browser.checkout().await?.is(201);
    Ok(())
}

#[tokio::test]
async fn bad_cart_requests_change_nothing() -> Result<()> {
    let world = World::new().await?;
    let product = world.product(10).await?;
    let mut browser = Browser::open(&world).await?;
    assert!(
        browser.checkout().await?.is(422).body["detail"]
            .as_str()
            .unwrap()
            .contains("empty")
    );
    for quantity in [0, 100, -1, i64::MAX] {
        assert_eq!(
            browser.put(&product, quantity).await?.is(422).pointers(),
            ["/quantity"]
        );
    }
    assert_eq!(
        browser.put("no-such-product", 1).await?.is(404).pointers(),
        ["/product_id"]
    );
    assert_eq!(
        browser.put(&"x".repeat(65), 1).await?.is(422).pointers(),
        ["/product_id"]
    );
    assert_eq!(
        browser.put("a%00b", 1).await?.is(422).pointers(),
        ["/product_id"]
    );
    let extra = json!({"quantity": 1, "price_cents": 1});
    let answer = browser
        .send(Method::PUT, &format!("/cart/items/{product}"), Some(extra))
        .await?
        .is(422);
    assert_eq!(answer.pointers(), ["/price_cents"]);
    assert_eq!(browser.cart().await?.body["items"], json!([]));
    Ok(())
}

#[tokio::test]
async fn without_product_service_a_cart_has_no_prices_and_is_away() -> Result<()> {
    let mut world = World::new().await?;
    let product = world.product(10).await?;
    let mut browser = Browser::open(&world).await?;
    browser.put(&product, 1).await?.is(200);
    let cookie = browser.cookie.clone();
    world.to_products.set(Mode::Refuse).await?;
    let request = world.request(Method::GET, "/cart").header("cookie", cookie);
    is_unavailable(&world.send(request).await?);
    Ok(())
}

#[tokio::test]
async fn a_browser_that_leaves_mid_checkout_finds_an_empty_cart_and_its_order() -> Result<()> {
    let mut world = World::new().await?;
    let product = world.product(5).await?;
    let mut browser = Browser::open(&world).await?;
    browser.put(&product, 2).await?.is(200);
    let cookie = browser.cookie.clone();
    world.to_products.set(Mode::Refuse).await?;
    let request = world
        .request(Method::POST, "/cart/checkout")
        .header("cookie", &cookie)
        .json(&json!({"customer_id": "ada"}));
    let leaving = tokio::spawn(Answer::of(request));
    let order = world.stored_as("pending").await?;
    leaving.abort();
    assert!(leaving.await.unwrap_err().is_cancelled());
    world.to_products.set(Mode::Forward).await?;

    world.order_becomes(&order, "confirmed").await?;
    eventually("the cart is empty", || async {
        let cart = world
            .request(Method::GET, "/cart")
            .header("cookie", &cookie);
        let cart = world.send(cart).await?.is(200);
        ensure!(cart.body["items"] == json!([]), "{cart:?}");
        Ok(())
    })
    .await?;
    assert_eq!(world.stock(&product).await?, 3);
    Ok(())
}
