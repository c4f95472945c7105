//! The cart of a session, and its checkout.

use std::collections::HashSet;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::areas::area;
use crate::shop::{Body, fresh_customer, integer, list, text, utc_time};
use crate::{Answer, Area, Shop};

pub(super) fn area() -> Area {
    area!("carts":
        "a session's cookie is random, HttpOnly, SameSite=Lax and lasts 7 days" => cookie,
        "items are put, changed and removed, priced by the shop" => items,
        "a session id the shop did not give out is replaced" => unknown_session,
        "sessions do not see each other's carts" => isolation,
        "bad quantities and unknown products are refused" => refused,
        "checkout makes an order and empties the cart" => checkout,
        "checkouts at once make one order" => concurrent_checkout,
        "an empty cart is not checked out" => empty_checkout,
        "a session lists its own orders" => own_orders,
    )
}

/// The session id in an answer's `set-cookie`.
fn session(answer: &Answer) -> Result<String> {
    let cookie = answer.need("set-cookie")?;
    let value = cookie
        .split(';')
        .next()
        .and_then(|pair| pair.strip_prefix("sid="));
    Ok(value
        .with_context(|| format!("{answer}: set-cookie {cookie:?} is no sid"))?
        .to_owned())
}

/// Puts `quantity` of a product into a cart; without a session a new one begins.
async fn put(shop: &Shop, sid: Option<&str>, product: &str, quantity: &Value) -> Result<Answer> {
    let cookie = sid.map(|sid| format!("sid={sid}"));
    let fields: Vec<(&str, &str)> = cookie
        .iter()
        .map(|cookie| ("cookie", cookie.as_str()))
        .collect();
    let body = json!({ "quantity": quantity });
    shop.send(
        Method::PUT,
        &format!("/api/cart/items/{product}"),
        &fields,
        Body::Json(&body),
    )
    .await
}

/// A new session with one of product 2 in its cart.
async fn begin(shop: &Shop) -> Result<String> {
    let answer = put(shop, None, "2", &json!(1)).await?;
    session(answer.is(200)?)
}

async fn cart(shop: &Shop, sid: &str) -> Result<Value> {
    shop.get_with("/api/cart", &[("cookie", &format!("sid={sid}"))])
        .await?
        .is(200)?
        .json()
}

async fn check_out(shop: &Shop, sid: &str, customer: &str) -> Result<Answer> {
    shop.post(
        "/api/cart/checkout",
        &[("cookie", &format!("sid={sid}"))],
        &json!({ "customer_id": customer }),
    )
    .await
}

fn is_cart(cart: &Value, expected: &[(&str, i64)]) -> Result<()> {
    let mut total = 0;
    let mut found = Vec::new();
    for item in list(cart, "items")? {
        let quantity = integer(item, "quantity")?;
        total += quantity * integer(item, "unit_price_cents")?;
        ensure!(!text(item, "name")?.is_empty(), "{item}: no name");
        found.push((text(item, "product_id")?, quantity));
    }
    found.sort_unstable();
    ensure!(found == expected, "expected {expected:?}: {cart}");
    ensure!(
        integer(cart, "total_cents")? == total,
        "the lines sum up to {total}: {cart}"
    );
    utc_time(cart, "expires_at")
}

async fn cookie(shop: &Shop) -> Result<()> {
    let mut seen = HashSet::new();
    for _ in 0..5 {
        let answer = put(shop, None, "2", &json!(1)).await?;
        let sid = session(answer.is(200)?)?;
        let cookie = answer.need("set-cookie")?.to_lowercase();
        let attributes: Vec<&str> = cookie.split(';').skip(1).map(str::trim).collect();
        for needed in ["path=/", "httponly", "samesite=lax", "max-age=604800"] {
            ensure!(
                attributes.contains(&needed),
                "set-cookie {cookie:?} lacks {needed}"
            );
        }
        ensure!(
            !attributes.contains(&"secure"),
            "set-cookie {cookie:?} is never sent back over plain HTTP"
        );
        ensure!(sid.len() >= 22, "{sid:?} is too short for 128 bits");
        ensure!(seen.insert(sid), "a session id is given out twice");
    }
    Ok(())
}

async fn items(shop: &Shop) -> Result<()> {
    let answer = put(shop, None, "2", &json!(3)).await?;
    let sid = session(answer.is(200)?)?;
    is_cart(&answer.json()?, &[("2", 3)])?;
    put(shop, Some(&sid), "1", &json!(1)).await?.is(200)?;
    put(shop, Some(&sid), "2", &json!(99)).await?.is(200)?;
    let both = cart(shop, &sid).await?;
    is_cart(&both, &[("1", 1), ("2", 99)])?;
    ensure!(both["total_cents"] == 99_999 + 99 * 2_999, "{both}");
    let fields = format!("sid={sid}");
    for _ in 0..2 {
        let answer = shop
            .send(
                Method::DELETE,
                "/api/cart/items/2",
                &[("cookie", &fields)],
                Body::Empty,
            )
            .await?;
        ensure!(
            [200, 204].contains(&answer.code),
            "{answer}: removing is harmless, also twice"
        );
    }
    is_cart(&cart(shop, &sid).await?, &[("1", 1)])
}

async fn unknown_session(shop: &Shop) -> Result<()> {
    for made_up in [
        "0".repeat(22),
        "0".repeat(32),
        "x".into(),
        "x".repeat(3_000),
        String::new(),
        "../../etc".into(),
    ] {
        let answer = put(shop, Some(&made_up), "2", &json!(1)).await?;
        ensure!(
            session(answer.is(200)?)? != made_up,
            "the session id {made_up:?} was accepted"
        );
    }
    is_cart(&cart(shop, "00000000000000000000000000000000").await?, &[])
}

async fn isolation(shop: &Shop) -> Result<()> {
    let (one, two) = (begin(shop).await?, begin(shop).await?);
    put(shop, Some(&one), "1", &json!(7)).await?.is(200)?;
    is_cart(&cart(shop, &one).await?, &[("1", 7), ("2", 1)])?;
    is_cart(&cart(shop, &two).await?, &[("2", 1)])
}

async fn refused(shop: &Shop) -> Result<()> {
    let sid = begin(shop).await?;
    for bad in [
        json!(0),
        json!(100),
        json!(-1),
        json!(1.5),
        json!("1"),
        json!(null),
        json!(u64::MAX),
    ] {
        put(shop, Some(&sid), "1", &bad)
            .await?
            .invalid("/quantity")?;
    }
    put(shop, Some(&sid), "no-such-product", &json!(1))
        .await?
        .problem(&[404, 422])?;
    put(shop, Some(&sid), &"x".repeat(300), &json!(1))
        .await?
        .problem(&[400, 404, 422])?;
    let extra = json!({"quantity": 1, "unit_price_cents": 1});
    let cookie = format!("sid={sid}");
    shop.send(
        Method::PUT,
        "/api/cart/items/1",
        &[("cookie", &cookie)],
        Body::Json(&extra),
    )
    .await?
    .invalid("/unit_price_cents")?;
    is_cart(&cart(shop, &sid).await?, &[("2", 1)])
}

async fn checkout(shop: &Shop) -> Result<()> {
    let sid = begin(shop).await?;
    let customer = fresh_customer();
    let answer = check_out(shop, &sid, &customer).await?;
    let order = answer.is(201)?.json()?;
    ensure!(
        order["customer_id"] == customer && order["status"] == "confirmed",
        "{order}"
    );
    ensure!(
        order["items"][0]["product_id"] == "2" && order["total_cents"] == 2_999,
        "{order}"
    );
    ensure!(
        shop.get(answer.need("location")?).await?.is(200)?.json()? == order,
        "{answer}: Location is another order"
    );
    is_cart(&cart(shop, &sid).await?, &[])?;
    shop.cancel(text(&order, "id")?).await?;
    Ok(())
}

async fn concurrent_checkout(shop: &Shop) -> Result<()> {
    let product = shop.some_product().await?;
    let (id, before) = (text(&product, "id")?, integer(&product, "stock")?);
    let answer = put(shop, None, id, &json!(2)).await?;
    let (sid, customer) = (session(answer.is(200)?)?, fresh_customer());
    let answers = try_join_all((0..5).map(|_| check_out(shop, &sid, &customer))).await?;
    let mut orders = HashSet::new();
    for answer in &answers {
        if answer.code == 201 {
            orders.insert(text(&answer.json()?, "id")?.to_owned());
        } else {
            answer.problem(&[409, 422])?; // too late: the cart is empty
        }
    }
    ensure!(orders.len() == 1, "{} orders from one cart", orders.len());
    shop.stock_is(id, before - 2).await?;
    for order in orders {
        shop.cancel(&order).await?;
    }
    shop.stock_is(id, before).await
}

async fn empty_checkout(shop: &Shop) -> Result<()> {
    let sid = begin(shop).await?;
    let cookie = format!("sid={sid}");
    shop.send(
        Method::DELETE,
        "/api/cart/items/2",
        &[("cookie", &cookie)],
        Body::Empty,
    )
    .await?;
    check_out(shop, &sid, &fresh_customer())
        .await?
        .problem(&[409, 422])?;
    shop.post("/api/cart/checkout", &[], &json!({"customer_id": "c"}))
        .await?
        .problem(&[409, 422])?;
    let filled = begin(shop).await?;
    check_out(shop, &filled, "")
        .await?
        .invalid("/customer_id")?;
    is_cart(&cart(shop, &filled).await?, &[("2", 1)])
}

async fn own_orders(shop: &Shop) -> Result<()> {
    let (sid, other) = (begin(shop).await?, begin(shop).await?);
    let order = check_out(shop, &sid, &fresh_customer())
        .await?
        .is(201)?
        .json()?;
    let cancelled = shop.cancel(text(&order, "id")?).await?;
    let listed = |sid: String| async move {
        shop.get_with("/api/orders", &[("cookie", &format!("sid={sid}"))])
            .await
    };
    let own = listed(sid).await?;
    ensure!(
        *list(&own.is(200)?.json()?, "items")? == [cancelled],
        "{own}: expected the session's one order"
    );
    let others = listed(other).await?;
    ensure!(
        list(&others.is(200)?.json()?, "items")?.is_empty(),
        "{others}: a session sees another's orders"
    );
    Ok(())
}
