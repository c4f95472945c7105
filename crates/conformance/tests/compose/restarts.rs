//! What is killed comes back by itself with all it held, and the gateway answers meanwhile as far as the rest allows.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::StatusCode;
use serde_json::Value;
use test_support::{Steps, eventually_within};

use crate::shop::{seconds, timed};
use crate::shopper;
use crate::stack::{Container, Stack};

/// A restart, and the health checks after it: some seconds, on a busy machine a minute.
const BACK: Duration = Duration::from_secs(150);
/// The processes of the engine's host are seen, and root may end them: `docker kill` would tell the engine to let it lie.
const KILL: &str = "kill -KILL \"$1\"";

/// What customers who look at a product may meet while a service is away.
#[derive(Clone, Copy)]
enum Meanwhile {
    /// Nothing unusual.
    Served,
    /// Or an honest 503, saying when to come again.
    Unavailable,
    /// Or a closed door, since it is the door that is away.
    Closed,
}

const OUTAGES: [(&str, Meanwhile); 6] = [
    ("redis", Meanwhile::Served),
    ("service-registry", Meanwhile::Served),
    ("product-service", Meanwhile::Served), // one of several
    ("order-service", Meanwhile::Served),
    ("postgres", Meanwhile::Unavailable),
    ("api-gateway", Meanwhile::Closed),
];

/// Kills a container of every service, one after the other. The stack has several product services.
pub(crate) async fn tell(steps: &mut Steps, stack: &Stack, orders: &mut Vec<Value>) {
    for (service, meanwhile) in OUTAGES {
        let name = match meanwhile {
            Meanwhile::Served => {
                format!("{service} is killed and comes back: customers see nothing of it")
            }
            Meanwhile::Unavailable => {
                format!("{service} is killed and comes back: served, or told to come again")
            }
            Meanwhile::Closed => format!("{service} is killed and comes back"),
        };
        let told = steps
            .step(&name, out(stack, service, meanwhile, orders))
            .await;
        if let Some((order, told)) = told {
            steps.figure(service, told);
            orders.push(order);
        }
    }
}

/// All containers stopped and started in place, as `docker compose restart` does.
pub(crate) async fn all(
    stack: &Stack,
    scale: &[&str],
    orders: &[Value],
) -> Result<(Value, Duration)> {
    let before = stack.running().await?;
    let took = timed(async {
        stack.compose(&["restart"]).await?;
        stack.up(scale).await
    })
    .await?;
    let after = stack.running().await?;
    ensure!(before.len() == after.len(), "{} run", after.len());
    for (before, after) in before.iter().zip(&after) {
        ensure!(
            before.id == after.id && started(before) != started(after),
            "{} was not restarted",
            before.name
        );
    }
    Ok((shopper::keeps(stack, orders).await?, took))
}

async fn out(
    stack: &Stack,
    service: &str,
    meanwhile: Meanwhile,
    orders: &[Value],
) -> Result<(Value, String)> {
    let mut running = stack.running().await?;
    running.retain(|container| container.service == service);
    let killed = running.pop().context("no container")?;
    let pid = killed.pid()?.to_string();
    let (answered, done) = (Cell::new((0, 0)), Cell::new(false));
    let owner = async {
        let back = timed(async {
            stack
                .inside(&["--network", "none", "--pid", "host"], KILL, &[pid])
                .await?;
            eventually_within(BACK, "it is back and healthy", || is_back(stack, &killed)).await
        })
        .await;
        done.set(true);
        back
    };
    let customers = customers(stack, meanwhile, &answered, &done);
    let (back, asked) = tokio::join!(owner, customers);
    let back = back?;
    asked?;
    // An order crosses them all, and each dials again what it has lost.
    let order = eventually_within(BACK, "orders are kept and taken", || {
        shopper::keeps(stack, orders)
    })
    .await?;
    let (served, others) = answered.get();
    ensure!(served > 0, "nobody was served");
    let told = format!(
        "healthy {} s after; {served} requests served, {others} not",
        seconds(back)
    );
    Ok((order, told))
}

async fn is_back(stack: &Stack, killed: &Container) -> Result<()> {
    let now = stack.running().await?;
    let now = now.iter().find(|container| container.id == killed.id);
    let now = now.context("it does not run")?;
    ensure!(started(now) != started(killed), "it still runs");
    ensure!(now.is_healthy(), "{}", now.state["State"]["Health"]);
    Ok(())
}

fn started(container: &Container) -> &Value {
    &container.state["State"]["StartedAt"]
}

/// One look at a product after the other, each on a connection of its own: how many were served, and how many not.
async fn customers(
    stack: &Stack,
    meanwhile: Meanwhile,
    answered: &Cell<(usize, usize)>,
    done: &Cell<bool>,
) -> Result<()> {
    let url = format!("{}/api/products/1", stack.url());
    while !done.get() {
        let (served, others) = answered.get();
        let answer = shopper::client()?.get(&url).send().await;
        match (answer, meanwhile) {
            (Ok(answer), _) if answer.status() == StatusCode::OK => {
                answered.set((served + 1, others));
            }
            (Ok(answer), Meanwhile::Unavailable)
                if answer.status() == StatusCode::SERVICE_UNAVAILABLE =>
            {
                let again = answer.headers().get("retry-after");
                ensure!(again.is_some(), "503 without retry-after");
                answered.set((served, others + 1));
            }
            (Err(_), Meanwhile::Closed) => {
                answered.set((served, others + 1));
                // A closed door is told at once; nobody knocks as fast as they can.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            (Ok(answer), _) => {
                let status = answer.status();
                bail!("{status}: {}", answer.text().await?)
            }
            (Err(error), _) => return Err(error.into()),
        }
    }
    Ok(())
}
