//! The Swarm way, end to end: three Docker hosts on this machine (`docker/swarm/hosts.sh`), the generated stack on them, tried from
//! outside, on the wire, through updates and the loss of a host.
//!
//! One story after another, since a Swarm is brought up once and looked at from many sides: hence no libtest harness. The hosts
//! have names, a network and a folder of their own, so that they stand beside other rehearsals and engines, and nothing of them stays.
//! The images come from the engine that `docker` talks to, where they are built, unless `TAG` names some that are there.
//!
//! `cargo test -p conformance --test swarm -- backup` tells one story. Skipped where there is no root or no engine, unless
//! `REQUIRE_DOCKER` is set.

#![expect(clippy::print_stdout, reason = "it prints what a test harness prints")]

mod backup;
mod command;
#[path = "../shared/customers.rs"]
mod customers;
#[path = "../shared/held.rs"]
mod held;
#[path = "../shared/instead.rs"]
mod instead;
mod leftovers;
mod loss;
#[path = "../shared/members.rs"]
mod members;
mod refusals;
mod rehearsal;
#[path = "../shared/renewal.rs"]
mod renewal;
mod rollback;
mod rotation;
#[path = "../shared/rows.rs"]
mod rows;
mod task;
mod tiers;
#[path = "../shared/untagged.rs"]
mod untagged;
mod updates;
mod wire;

use std::process::ExitCode;

use anyhow::{Result, ensure};
use conformance::Shop;
use test_support::Steps;

use crate::leftovers::Leftovers;
use crate::rehearsal::{HOSTS, Rehearsal};

/// What is told on the hosts, by the names that a filter chooses by, in the order of telling.
const STORIES: &[&str] = &[
    "refusals", "contract", "wire", "tiers", "updates", "rollback", "backup", "rotation", "loss",
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        for name in STORIES {
            println!("swarm {name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let filters: Vec<&String> = arguments
        .iter()
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let is_chosen = |story: &str| {
        let name = format!("swarm {story}");
        filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()))
    };
    let chosen: Vec<&str> = STORIES
        .iter()
        .copied()
        .filter(|name| is_chosen(name))
        .collect();
    let mut steps = Steps::begin("swarm");
    if !chosen.is_empty() {
        // One thread: what it starts dies with it (see `command`).
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime
            .expect("a runtime starts")
            .block_on(tell(&chosen, &mut steps));
    }
    steps.end()
}

async fn tell(chosen: &[&str], steps: &mut Steps) {
    if let Err(why) = rehearsal::is_possible().await {
        let why = format!("{why:#}; to try it: sudo sh docker/engine.sh, then make test as root");
        return steps.lacks("the shop on a Swarm of three hosts", &why);
    }
    let rehearsal = Rehearsal::new();
    let brought_up = async {
        rehearsal::sweep().await?;
        rehearsal.up().await
    };
    if steps
        .step("three hosts come up", brought_up)
        .await
        .is_some()
    {
        told_on(&rehearsal, chosen, steps).await;
    }
    steps.step("down leaves nothing", ended(&rehearsal)).await;
}

async fn told_on(rehearsal: &Rehearsal, chosen: &[&str], steps: &mut Steps) {
    let Some(()) = steps
        .step("the hosts have the images", rehearsal.load())
        .await
    else {
        return;
    };
    if chosen.contains(&"refusals") {
        refusals::tell(steps, rehearsal).await;
    }
    let Some(seconds) = steps
        .step("every task is healthy", rehearsal.deploy())
        .await
    else {
        return;
    };
    steps.figure("from deploying to healthy", format!("{seconds:.0} s"));
    for story in chosen {
        match *story {
            "contract" => contract(steps, rehearsal).await,
            "wire" => wire::tell(steps, rehearsal).await,
            "tiers" => tiers::tell(steps, rehearsal).await,
            "backup" => backup::tell(steps, rehearsal).await,
            "rotation" => rotation::tell(steps, rehearsal).await,
            "updates" => updates::tell(steps, rehearsal).await,
            "rollback" => rollback::tell(steps, rehearsal).await,
            "loss" => loss::tell(steps, rehearsal).await,
            _ => {}
        }
    }
}

async fn contract(steps: &mut Steps, rehearsal: &Rehearsal) {
    for host in [2, 3] {
        let name = format!("host{host} keeps the contract");
        if let Some(kept) = steps.step(&name, keeps(rehearsal, host)).await {
            steps.figure("statements that hold", kept);
        }
    }
}

/// The whole public contract, the admin rules too, through one host.
async fn keeps(rehearsal: &Rehearsal, host: usize) -> Result<usize> {
    let token = rehearsal.secret("admin-token")?;
    let report = conformance::run(&Shop::new(&rehearsal.url(host), Some(token))?, |_| ()).await;
    ensure!(
        report.failed == 0 && report.skipped == 0,
        "{report}\n{}",
        report.failures()
    );
    Ok(report.ok)
}

/// What is looked for is there before, in each kind, and nowhere afterwards.
async fn ended(rehearsal: &Rehearsal) -> Result<()> {
    let there = Leftovers::of(rehearsal)?;
    ensure!(
        there.0.values().all(|found| !found.is_empty()),
        "of {HOSTS} hosts that are up should be seen, but: {there}"
    );
    rehearsal.down().await?;
    let left = Leftovers::of(rehearsal)?;
    ensure!(left.0.values().all(Vec::is_empty), "{left}");
    Ok(())
}
