//! A worker is lost: its tasks return elsewhere, and the shop answers.

use std::time::Duration;

use anyhow::{Result, ensure};
use test_support::{Steps, eventually_within};

use crate::customers::{Noticed, Refused, meanwhile};
use crate::rehearsal::{Rehearsal, now};

/// A Swarm believes that a host is gone after three heartbeats, of 5 seconds each.
const PATIENCE: Duration = Duration::from_secs(120);
/// The longest time without a good answer from a host that is there.
const SILENCE: Duration = Duration::from_secs(30);
/// What the gateway may say of a service whose host is gone: broken off, not sent, not answered; and an order is taken for later.
const HONEST: &[&str] = &[
    ": 502 Bad Gateway",
    ": 503 Service Unavailable",
    ": 504 Gateway Timeout",
    ": 202 Accepted",
];
const REPLICAS: &[&str] = &["service-registry", "product-service", "order-service"];

pub(crate) async fn tell(steps: &mut Steps, rehearsal: &Rehearsal) {
    let told = steps.step(
        "a worker is lost: its tasks return elsewhere, the shop answers",
        lost(rehearsal),
    );
    if let Some((seconds, noticed)) = told.await {
        let longest = noticed.gaps.iter().max().copied().unwrap_or_default();
        steps.figure(
            "host3 lost",
            format!(
                "every task runs elsewhere after {seconds:.1} s; the longest without a good answer {:.1} s; {} answers, {} failed",
                longest.as_secs_f64(),
                noticed.answered,
                noticed.failures.len()
            ),
        );
    }
}

async fn lost(rehearsal: &Rehearsal) -> Result<(f64, Noticed)> {
    let urls = [rehearsal.url(1), rehearsal.url(2)];
    let loss = async {
        let began = now();
        rehearsal.hosts(&["kill", "3"]).await?;
        eventually_within(PATIENCE, "two of each run elsewhere", || async {
            for service in REPLICAS {
                let hosts = rehearsal.tasks(service).await?;
                ensure!(
                    hosts.len() == 2 && !hosts.contains(&3),
                    "{service} runs on {hosts:?}"
                );
            }
            Ok(())
        })
        .await?;
        let seconds = began.elapsed().as_secs_f64();
        // Whoever goes on asking is served, and only well.
        Ok(seconds)
    };
    let told = meanwhile(&urls, Refused::Fails, loss).await?;
    let noticed = &told.1;
    ensure!(
        noticed.gaps.iter().all(|gap| *gap < SILENCE),
        "without a good answer, by host: {:?}",
        noticed.gaps
    );
    let mut failures = noticed.failures.iter();
    let odd = failures.find(|failure| !HONEST.iter().any(|honest| failure.contains(honest)));
    ensure!(odd.is_none(), "more than a lost connection: {odd:?}");
    let calm = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        Ok(())
    };
    let ((), after) = meanwhile(&urls, Refused::Fails, calm).await?;
    ensure!(
        after.failures.is_empty() && after.answered > 20,
        "afterwards {} answers, and failed: {:?}",
        after.answered,
        after.failures
    );
    Ok(told)
}
