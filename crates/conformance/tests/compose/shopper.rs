//! What customers do, and what the shop keeps for them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use conformance::Shop;
use reqwest::Client;
use serde_json::{Value, json};
use test_support::eventually;

use crate::stack::Stack;

/// A customer's patience.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn client() -> Result<Client> {
    Ok(Client::builder().timeout(PATIENCE).build()?)
}

/// The whole public contract, the admin rules too.
pub(crate) async fn contract(stack: &Stack) -> Result<String> {
    let token = admin_token(stack).await?;
    let report = conformance::run(&Shop::new(&stack.url(), Some(token))?, |_| ()).await;
    ensure!(
        report.failed == 0 && report.skipped == 0,
        "{report}\n{}",
        report.failures()
    );
    Ok(format!("{} statements hold", report.ok))
}

/// The admin token, read where the mint has put it.
async fn admin_token(stack: &Stack) -> Result<String> {
    let volume = format!("{}_secrets-product:/secrets:ro", stack.name);
    let joins = ["--network", "none", "--volume", &volume];
    let token = stack
        .inside(&joins, "cat /secrets/admin-token", &[])
        .await?;
    let token = token.trim().to_owned();
    ensure!(token.len() >= 32, "the admin token is {token:?}");
    Ok(token)
}

/// Places an order.
pub(crate) async fn order(stack: &Stack) -> Result<Value> {
    let body =
        json!({"customer_id": "the-compose-test", "items": [{"product_id": "1", "quantity": 1}]});
    let answer = client()?
        .post(format!("{}/api/orders", stack.url()))
        .header("idempotency-key", uuid::Uuid::new_v4().to_string())
        .json(&body)
        .send()
        .await?;
    let (code, order) = (answer.status(), answer.text().await?);
    ensure!(code == 201, "{code}: {order}");
    Ok(serde_json::from_str(&order)?)
}

/// Reads orders that were placed: they are as they were, and a new one can be placed.
pub(crate) async fn keeps(stack: &Stack, orders: &[Value]) -> Result<Value> {
    for order in orders {
        let id = order["id"].as_str().context("an id")?;
        let url = format!("{}/api/orders/{id}", stack.url());
        let answer = client()?.get(url).send().await?.error_for_status()?;
        let read: Value = answer.json().await?;
        ensure!(read == *order, "{read} is read, {order} was placed");
    }
    order(stack).await
}

/// Who answers `requests` requests, and how many of them.
pub(crate) async fn served_by(stack: &Stack, requests: usize) -> Result<BTreeMap<String, usize>> {
    let (client, url) = (client()?, format!("{}/api/products", stack.url()));
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        let answer = client.get(&url).send().await?.error_for_status()?;
        let by = answer.headers().get("x-served-by").context("x-served-by")?;
        *counts.entry(by.to_str()?.to_owned()).or_default() += 1;
    }
    Ok(counts)
}

/// All `instances` of product-service answer equally often.
pub(crate) async fn spread(stack: &Stack, instances: usize) -> Result<String> {
    // The last may be known to the gateway only a moment after it is healthy.
    eventually("the gateway knows all", || async {
        let known = served_by(stack, instances).await?;
        ensure!(known.len() == instances, "{known:?}");
        Ok(())
    })
    .await?;
    let counts = served_by(stack, 100 * instances).await?;
    let even = counts.len() == instances && counts.values().all(|count| *count == 100);
    ensure!(even, "{counts:?}");
    Ok(format!("{counts:?}"))
}
