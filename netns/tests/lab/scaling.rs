//! A service grows and shrinks while its customers go on asking: none of them notices.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use test_support::eventually;

use crate::setting::Lab;
use crate::steps::now;

/// Customers who ask one question after the other.
const CUSTOMERS: usize = 4;
/// Answers that each stretch of the story waits for.
const STRETCH: usize = 200;

/// From one instance to three and back; how many requests were answered, and how long each way took.
pub(crate) async fn unnoticed(lab: &Lab<'_>) -> Result<String> {
    let (answered, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let customers = async {
        let asking = (0..CUSTOMERS).map(|_| ask(lab, &answered, &done));
        let asked = futures_util::future::join_all(asking).await;
        asked.into_iter().collect::<Result<()>>()
    };
    let owner = async {
        let told = grow_and_shrink(lab, &answered).await;
        done.store(true, Ordering::Relaxed);
        told
    };
    let (asked, told) = tokio::join!(customers, owner);
    let told = told?;
    asked?;
    Ok(format!(
        "{told}; {} requests, 0 failed",
        answered.into_inner()
    ))
}

async fn ask(lab: &Lab<'_>, answered: &AtomicUsize, done: &AtomicBool) -> Result<()> {
    let client = reqwest::Client::new();
    let url = format!("{}/api/products/1", lab.url());
    while !done.load(Ordering::Relaxed) {
        let answer = client.get(&url).send().await.context("a request failed")?;
        let status = answer.status();
        let body = answer.text().await.context("an answer broke off")?;
        ensure!(status == 200, "{status}: {body}");
        answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

async fn grow_and_shrink(lab: &Lab<'_>, answered: &AtomicUsize) -> Result<String> {
    let mut took = Vec::new();
    for count in [3, 1] {
        a_stretch(answered).await?;
        let began = now();
        lab.expect(&["scale", &format!("product-service={count}")])
            .await?;
        took.push(began.elapsed().as_millis());
        let instances = lab.instances().await?;
        let products = instances
            .iter()
            .filter(|instance| instance.name.starts_with("product-service-"))
            .count();
        ensure!(
            products == count,
            "{products} product services, not {count}"
        );
    }
    a_stretch(answered).await?;
    Ok(format!(
        "1 to 3 in {} ms, 3 to 1 in {} ms",
        took[0], took[1]
    ))
}

async fn a_stretch(answered: &AtomicUsize) -> Result<()> {
    let wanted = answered.load(Ordering::Relaxed) + STRETCH;
    eventually("customers are answered", || async {
        let have = answered.load(Ordering::Relaxed);
        ensure!(have >= wanted, "{have} of {wanted} answers");
        Ok(())
    })
    .await
}
