//! The stack of docker-compose.yml, from its first `up` to nothing left.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use test_support::Steps;

use crate::docker::docker;
use crate::engine::Engine;
use crate::stack::{Container, Stack};
use crate::start_order::StartOrder;
use crate::{
    documented, egress, hardening, leftovers, preflight, promises, reach, restarts, secrets,
    shopper,
};

/// What runs of an unscaled shop.
const SERVICES: usize = 6;
/// Product services.
const THREE: [&str; 2] = ["--scale", "product-service=3"];

pub(crate) async fn tell(steps: &mut Steps, engine: &Engine) {
    let Some(stack) = steps
        .step(
            "a stack of its own, of which nothing is there",
            fresh(engine),
        )
        .await
    else {
        return;
    };
    preflight::tell(steps, &stack).await;
    let came_up = async {
        let order = StartOrder::watch(&stack)?;
        Ok((timed(stack.up(&[])).await?, order))
    };
    let Some((took, order)) = steps.step("the shop comes up", came_up).await else {
        return;
    };
    steps.figure("first `up` to all healthy, s", seconds(took));
    steps
        .step(
            "each is started when those it needs are ready",
            order.kept(),
        )
        .await;
    for line in steps
        .step("the engine knows the memory of each", memory(&stack))
        .await
        .unwrap_or_default()
    {
        steps.figure("memory of", line);
    }
    steps
        .step(
            "`up --build` again changes nothing",
            up_again(&stack, engine),
        )
        .await;
    if let Some(told) = steps
        .step(
            "the shop keeps its public contract",
            shopper::contract(&stack),
        )
        .await
    {
        steps.figure("contract", told);
    }
    steps
        .step(
            "the published doors open where the file says",
            doors(&stack),
        )
        .await;
    steps
        .step(
            "the engine has noted what the file takes away and grants",
            hardening::noted(&stack),
        )
        .await;
    steps
        .step(
            "which is what the shop promises of each",
            promises::kept(&stack),
        )
        .await;
    steps
        .step(
            "the kernel holds every container to it",
            hardening::enforced(&stack),
        )
        .await;
    if let Some(told) = steps
        .step(
            "every container sees its own secrets and no others",
            secrets::are_apart(&stack),
        )
        .await
    {
        steps.figure("secrets", told);
    }
    let order = steps
        .step("an order is placed", shopper::order(&stack))
        .await;
    let mut orders: Vec<Value> = order.into_iter().collect();
    steps
        .step("three product services share the requests exactly", async {
            stack.up(&THREE).await?;
            shopper::spread(&stack, 3).await
        })
        .await;
    steps
        .step(
            "nobody is handed out an address below .128",
            promises::addresses(&stack),
        )
        .await;
    if let Some(tried) = steps
        .step(
            "every port of every other is reached just where networks and bindings allow",
            reach::every_pair(&stack),
        )
        .await
    {
        steps.figure("reach", tried.told());
        steps
            .step(
                "PostgreSQL and Redis can call none of the services",
                async { tried.keeps_stores_passive(&stack.config) },
            )
            .await;
    }
    const EGRESS: &str = "nobody reaches anything outside";
    match egress::obstacle() {
        Some(why) => steps.lacks(EGRESS, why),
        None => {
            if let Some(told) = steps.step(EGRESS, egress::none(&stack)).await {
                steps.figure("egress", told);
            }
        }
    }
    const METRICS: &str = "the metrics of a service are asked for as the pages say";
    match egress::obstacle() {
        Some(_) => steps.lacks(
            METRICS,
            "this is not root, who alone enters a container's network: make test as root",
        ),
        None => {
            if let Some(told) = steps.step(METRICS, documented::metrics(&stack)).await {
                steps.figure("metrics of order-service", told);
            }
        }
    }
    restarts::tell(steps, &stack, &mut orders).await;
    if let Some((order, took)) = steps
        .step(
            "`restart` of all containers keeps the orders",
            restarts::all(&stack, &THREE, &orders),
        )
        .await
    {
        steps.figure("`restart` to all healthy, s", seconds(took));
        orders.push(order);
    }
    steps
        .step("`down` leaves the volumes alone", down(&stack))
        .await;
    if let Some(took) = steps.step("it comes up again", timed(stack.up(&[]))).await {
        steps.figure("second `up` to all healthy, s", seconds(took));
    }
    steps
        .step("with every order", shopper::keeps(&stack, &orders))
        .await;
    steps
        .step("`down --volumes` leaves nothing", gone(&stack))
        .await;
}

async fn fresh(engine: &Engine) -> Result<Stack> {
    let stack = Stack::new(engine, "shop", &[]).await?;
    let there = leftovers::of(&stack.name).await?;
    ensure!(there.is_empty(), "{there:?}");
    if engine.builds() {
        engine.build(stack.command(&["build"])).await?;
    }
    Ok(stack)
}

/// How long it takes.
pub(crate) async fn timed(doing: impl Future<Output = Result<()>>) -> Result<Duration> {
    #[expect(clippy::disallowed_methods, reason = "it measures a real engine")]
    let started = std::time::Instant::now();
    doing.await?;
    Ok(started.elapsed())
}

pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64())
}

/// A line of each container, as `docker stats` says it.
async fn memory(stack: &Stack) -> Result<Vec<String>> {
    let running = stack.running().await?;
    let ids: Vec<&str> = running.iter().map(|one| one.id.as_str()).collect();
    let format = "{{.Name}} {{.MemUsage}}";
    let stats = ["stats", "--no-stream", "--format", format];
    let said = docker(&[&stats[..], &ids].concat()).await?;
    let lines: Vec<String> = said
        .lines()
        .map(|line| line.trim_start_matches(&format!("{}-", stack.name)))
        .map(|line| line.replacen(' ', ": ", 1))
        .collect();
    let measured = lines.iter().filter(|line| line.contains("MiB / "));
    ensure!(
        ids.len() == SERVICES && measured.count() == SERVICES,
        "{} containers: {lines:?}",
        ids.len()
    );
    Ok(lines)
}

/// When each container was made and started.
fn starts(containers: &[Container]) -> Vec<(&str, &Value)> {
    let starts = containers.iter().map(|container| {
        let started = &container.state["State"]["StartedAt"];
        (container.id.as_str(), started)
    });
    starts.collect()
}

/// By the words of the README, unless the images are somebody's. The one that mints secrets runs to its end once more, and changes
/// nothing either.
async fn up_again(stack: &Stack, engine: &Engine) -> Result<()> {
    let before = stack.running().await?;
    let build: &[&str] = if engine.builds() { &["--build"] } else { &[] };
    stack
        .compose(&[&["up", "-d"], build, &["--wait"]].concat())
        .await?;
    let after = stack.running().await?;
    ensure!(
        starts(&before) == starts(&after),
        "{:?} were running, {:?} are",
        starts(&before),
        starts(&after)
    );
    Ok(())
}

/// Both public ports everywhere, the admin port on the host's loopback alone.
async fn doors(stack: &Stack) -> Result<()> {
    let bridge = format!("{}.1", stack.variable("FRONTEND_PREFIX")?); // of this host, too
    let client = shopper::client()?;
    for port in [stack.http_port, stack.gateway_port] {
        for host in ["127.0.0.1", bridge.as_str()] {
            let url = format!("http://{host}:{port}/api/products/1");
            client.get(url).send().await?.error_for_status()?;
        }
    }
    let admin = |host: &str| format!("http://{host}:{}/ready", stack.admin_port);
    client
        .get(admin("127.0.0.1"))
        .send()
        .await?
        .error_for_status()?;
    let elsewhere = client.get(admin(&bridge)).send().await;
    let refused = elsewhere.as_ref().is_err_and(reqwest::Error::is_connect);
    ensure!(refused, "the admin port on {bridge}: {elsewhere:?}");
    Ok(())
}

async fn down(stack: &Stack) -> Result<()> {
    let volumes = |there: &str| there.starts_with("volume ");
    // A volume without a name would be nobody's to remove.
    let prefix = format!("{}_", stack.name);
    for container in stack.containers().await? {
        let mounts = container.state["Mounts"].as_array().into_iter().flatten();
        for volume in mounts.filter(|mount| mount["Type"] == "volume") {
            let name = volume["Name"].as_str().unwrap_or_default();
            ensure!(
                name.starts_with(&prefix),
                "{} of {}",
                volume,
                container.name
            );
        }
    }
    let mut before = leftovers::of(&stack.name).await?;
    stack.compose(&["down"]).await?;
    before.retain(|there| volumes(there));
    let after = leftovers::of(&stack.name).await?;
    ensure!(after == before, "{after:?} are left of {before:?}");
    ensure!(!after.is_empty(), "there were no volumes");
    Ok(())
}

pub(crate) async fn gone(stack: &Stack) -> Result<()> {
    stack.compose(&["down", "--volumes"]).await?;
    let there = leftovers::of(&stack.name).await?;
    ensure!(there.is_empty(), "left behind: {there:?}");
    Ok(())
}
