//! A dependency that is away, or does not answer: the shop's customers notice nothing.

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
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
    out_unnoticed(
        lab,
        "redis-1",
        &["/api/products", "/api/products/1", "/api/products?q=mouse"],
    )
    .await?;
    eventually("carts work again", || async {
        Ok(get(lab, "/api/cart").await?.error_for_status().map(drop)?)
    })
    .await
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
