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
/// That hold no store's volume.
const WORKERS: [usize; 2] = [2, 3];

/// What came of it.
struct Lost {
    host: usize,
    /// How many replicas it had.
    replicas: usize,
    /// Until a manager knew that the host is gone, and until all replicas ran elsewhere.
    known: f64,
    elsewhere: f64,
    noticed: Noticed,
}

pub(crate) async fn tell(steps: &mut Steps, rehearsal: &Rehearsal) {
    let told = steps.step(
        "a worker is lost: its tasks return elsewhere, the shop answers",
        lost(rehearsal),
    );
    if let Some(lost) = told.await {
        let Lost {
            host,
            replicas,
            known,
            elsewhere,
            noticed,
        } = lost;
        let longest = noticed.gaps.iter().max().copied().unwrap_or_default();
        steps.figure(
            &format!("host{host} lost, with {replicas} replicas"),
            format!(
                "known after {known:.1} s; every task runs elsewhere after {elsewhere:.1} s; the longest without a good answer {:.1} s; {} answers, {} failed",
                longest.as_secs_f64(),
                noticed.answered,
                noticed.failures.len()
            ),
        );
    }
}

/// How many replicas a host has.
async fn replicas(rehearsal: &Rehearsal, host: usize) -> Result<usize> {
    let mut count = 0;
    for service in REPLICAS {
        let hosts = rehearsal.tasks(service).await?;
        count += hosts.iter().filter(|at| **at == host).count();
    }
    Ok(count)
}

async fn lost(rehearsal: &Rehearsal) -> Result<Lost> {
    let [one, other] = WORKERS;
    let counts = [
        replicas(rehearsal, one).await?,
        replicas(rehearsal, other).await?,
    ];
    let (host, stays) = if counts[0] > counts[1] {
        (one, other)
    } else {
        (other, one)
    };
    let count = counts.into_iter().max().unwrap_or_default();
    // Six replicas, at most three of them on the manager.
    ensure!(count > 0, "no replica is on a worker");
    let urls = [rehearsal.url(1), rehearsal.url(stays)];
    let loss = async {
        let began = now();
        rehearsal.hosts(&["kill", &host.to_string()]).await?;
        let name = format!("host{host}");
        eventually_within(PATIENCE, "the manager knows", || async {
            let state = ["node", "inspect", "--format", "{{.Status.State}}", &name];
            let state = rehearsal.docker(1, &state).await?;
            ensure!(state == "down", "{name} is {state}");
            Ok(())
        })
        .await?;
        let known = began.elapsed().as_secs_f64();
        eventually_within(PATIENCE, "two of each run elsewhere", || async {
            for service in REPLICAS {
                let hosts = rehearsal.tasks(service).await?;
                ensure!(
                    hosts.len() == 2 && !hosts.contains(&host),
                    "{service} runs on {hosts:?}"
                );
            }
            Ok(())
        })
        .await?;
        Ok((known, began.elapsed().as_secs_f64()))
    };
    let ((known, elsewhere), noticed) = meanwhile(&urls, Refused::Fails, loss).await?;
    ensure!(
        noticed.gaps.iter().all(|gap| *gap < SILENCE),
        "without a good answer, by host: {:?}",
        noticed.gaps
    );
    let mut failures = noticed.failures.iter();
    let odd = failures.find(|failure| !HONEST.iter().any(|honest| failure.contains(honest)));
    ensure!(odd.is_none(), "more than a lost connection: {odd:?}");
    // Whoever goes on asking is served, and only well.
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
    Ok(Lost {
        host,
        replicas: count,
        known,
        elsewhere,
        noticed,
    })
}
