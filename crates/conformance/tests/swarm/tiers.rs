//! What a task may do and whom it reaches, from the inside: the Compose file's word, kept by three hosts.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use test_support::Steps;

use crate::command::{expect, mortal};
use crate::held::held;
use crate::members::{self, Member, Reached, Target};
use crate::rehearsal::{HOSTS, Rehearsal};
use crate::task::{Task, called};

/// Its published port is a host's, and what leads in from a host leads out, too: see docs/architecture.md.
const REACHES_OUTSIDE: &str = "api-gateway";
/// The gateways' door on each host.
const PORT: u16 = 8080;

pub(crate) async fn tell(steps: &mut Steps, rehearsal: &Rehearsal) {
    let noted = async { Ok((config().await?, Task::all(rehearsal).await?)) };
    let name = "every host says what runs there";
    let Some((config, tasks)) = steps.step(name, noted).await else {
        return;
    };
    steps
        .step("replicas are spread, a gateway is on each host", async {
            spread(&tasks)
        })
        .await;
    steps
        .step(
            "every task has the user, rights, root and limits that the file says",
            async { rights(&config, &tasks) },
        )
        .await;
    let name = "every port of every other is reached just where networks and bindings allow";
    if let Some(tried) = steps.step(name, every_pair(&config, &tasks)).await {
        steps.figure("reach", tried.told());
        steps
            .step(
                "PostgreSQL and Redis can call none of the services",
                async { tried.keeps_stores_passive(&config) },
            )
            .await;
    }
    let name = "nobody but the gateways reaches anything outside";
    if let Some(told) = steps.step(name, outside(rehearsal, &tasks)).await {
        steps.figure("egress", told);
    }
}

/// The Compose file that the stack's is made of.
async fn config() -> Result<Value> {
    let mut config = mortal("docker");
    config.args(["compose", "config", "--format", "json"]);
    Ok(serde_json::from_str(&expect(config).await?)?)
}

fn spread(tasks: &[Task]) -> Result<()> {
    for (service, count) in [
        ("service-registry", 2),
        ("product-service", 2),
        ("order-service", 2),
        ("api-gateway", HOSTS),
    ] {
        let of_it = tasks.iter().filter(|task| task.service == service);
        let hosts: Vec<usize> = of_it.map(|task| task.host).collect();
        let different: BTreeSet<&usize> = hosts.iter().collect();
        ensure!(
            hosts.len() == count && different.len() == count,
            "{service} is on {hosts:?}"
        );
    }
    Ok(())
}

fn rights(config: &Value, tasks: &[Task]) -> Result<()> {
    for task in tasks {
        held(&config["services"][&task.service], task.pid, false)
            .with_context(|| format!("{} on host{}", task.name, task.host))?;
    }
    Ok(())
}

async fn every_pair(config: &Value, tasks: &[Task]) -> Result<members::Tried> {
    let member = |task: &Task| {
        let called = |network: &str| Ok(called(network));
        Member::new(config, &task.name, &task.service, &task.networks, called)
    };
    let members: Vec<Member> = tasks.iter().map(member).collect::<Result<_>>()?;
    let dial = async |from: &Member, targets: Vec<(Target, Reached)>| {
        let mut tasks = tasks.iter();
        let task = tasks.find(|task| task.name == from.name);
        task.context("a task")?.dial(targets).await
    };
    let tried = members::every_pair(&members, dial).await?;
    let is_apart = tried.count(Reached::Not) > 0 && tried.count(Reached::Open) > 0;
    ensure!(is_apart, "{}", tried.told());
    Ok(tried)
}

/// Outside is what the others see of a host: the gateway's port, which answers.
async fn outside(rehearsal: &Rehearsal, tasks: &[Task]) -> Result<String> {
    let mut tried = 0;
    for task in tasks {
        let expected = if task.service == REACHES_OUTSIDE {
            Reached::Open
        } else {
            Reached::Not
        };
        let mut targets = Vec::new();
        for host in (1..=HOSTS).filter(|host| *host != task.host) {
            targets.push(((rehearsal.address(host).parse()?, PORT), expected));
        }
        for (target, found) in task.dial(targets).await? {
            ensure!(
                found == expected,
                "{} on host{} -> {target:?}: {found}, expected: {expected}",
                task.name,
                task.host
            );
            tried += 1;
        }
    }
    Ok(format!("tried {tried} times, from {} tasks", tasks.len()))
}
