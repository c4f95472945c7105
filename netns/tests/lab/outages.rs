//! A dependency that is away, or does not answer: the shop's customers notice nothing.

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use test_support::eventually;

use crate::instance::signal_process;
use crate::setting::Lab;
use crate::shop::{get, order};

/// Asks for each of `paths` ten times; every answer has to be 200.
async fn all_answered(lab: &Lab<'_>, paths: &[&str]) -> Result<()> {
    for _ in 0..10 {
        for path in paths {
            let answer = get(lab, path).await?;
            ensure!(answer.status() == 200, "{path}: {}", answer.status());
        }
    }
    Ok(())
}

/// Kills an instance, and when it is back freezes it, which is the harder case: nothing refuses, everything waits. All the time
/// each of `paths` has to be answered 200.
async fn out_unnoticed(lab: &Lab<'_>, name: &str, paths: &[&str]) -> Result<()> {
    let before = lab.instance(name).await?;
    signal_process(&before, Signal::SIGKILL)?;
    all_answered(lab, paths).await.context("killed")?;
    let again = eventually("it is started again and healthy", || async {
        all_answered(lab, paths).await.context("being started")?;
        let now = lab.instance(name).await?;
        ensure!(
            now.restarts > before.restarts && now.state == "healthy",
            "{now:?}"
        );
        Ok(now)
    })
    .await?;
    signal_process(&again, Signal::SIGSTOP)?;
    let answered = all_answered(lab, paths).await;
    signal_process(&again, Signal::SIGCONT)?;
    answered.context("frozen")?;
    eventually("it is healthy after that", || async {
        let now = lab.instance(name).await?;
        ensure!(now.state == "healthy", "{now:?}");
        Ok(())
    })
    .await
}

pub(crate) async fn redis(lab: &Lab<'_>) -> Result<()> {
    let written = carts_written(lab)?;
    let session = filled_cart(lab).await?;
    // What is killed before it has written loses what it had: while the disk is busy Redis answers up to two seconds before it
    // writes (`appendfsync everysec`, redis.io, "Redis persistence").
    eventually("the cart is in Redis' file", || async {
        ensure!(carts_written(lab)? > written, "{written} writes");
        Ok(())
    })
    .await?;
    out_unnoticed(
        lab,
        "redis-1",
        &["/api/products", "/api/products/1", "/api/products?q=mouse"],
    )
    .await?;
    eventually("carts work again, with what was in them", || async {
        let request = reqwest::Client::new().get(format!("{}/api/cart", lab.url()));
        let answer = request.header("cookie", &session).send().await?;
        let cart: Value = answer.error_for_status()?.json().await?;
        ensure!(cart["items"][0]["product_id"] == "2", "{cart}");
        Ok(())
    })
    .await
}

/// How often the file that Redis comes back with names a cart.
fn carts_written(lab: &Lab<'_>) -> Result<usize> {
    let folder = lab.state().join("volumes/redis-data/appendonlydir");
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).context(folder.display().to_string())? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".incr.aof") {
            let file = std::fs::read(&path)?;
            count += file.windows(5).filter(|word| word == b"cart:").count();
        }
    }
    Ok(count)
}

/// Puts product 2 into a new cart; the session's cookie.
async fn filled_cart(lab: &Lab<'_>) -> Result<String> {
    let request = reqwest::Client::new().put(format!("{}/api/cart/items/2", lab.url()));
    let answer = request.json(&json!({"quantity": 1})).send().await?;
    let answer = answer.error_for_status()?;
    let cookie = answer.headers().get("set-cookie").context("a cookie")?;
    let pair = cookie.to_str()?.split(';').next().unwrap_or_default();
    Ok(pair.to_owned())
}

pub(crate) async fn registry(lab: &Lab<'_>) -> Result<()> {
    out_unnoticed(
        lab,
        "service-registry-1",
        &["/api/products", "/api/products/2", "/health"],
    )
    .await?;
    // And orders, which cross two services: product-service is found by what order-service knew.
    order(lab).await.map(drop)
}
