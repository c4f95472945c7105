//! `docker/ops/backup.sh` and `docker/ops/restore.sh` on a Swarm: what is lost with PostgreSQL's volume is back, row by row, also by
//! a restore that has been killed and is run again, from a manager where none of the stores is.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tempfile::TempDir;
use test_support::{Steps, eventually};
use tokio::process::Command;

use crate::command::{expect, run, said};
use crate::rehearsal::{Rehearsal, STACK, now};
use crate::rows::{self, Rows};

const ORDERS: usize = 3;
/// `docker` that ends the script when it has taken away order-service's tasks: the moment at which least of the shop is there.
const DEADLY: &str = r#"#!/bin/sh
"$REAL_DOCKER" "$@" || exit
case "$*" in *"--replicas 0 underlay_order-service") kill -KILL 0 ;; esac
"#;

pub(crate) async fn tell(steps: &mut Steps, rehearsal: &Rehearsal) {
    let saved = steps.step("orders are saved while the shop runs", save(rehearsal));
    let Some(saved) = saved.await else { return };
    steps
        .step(
            "who has not PostgreSQL saves nothing, and is told where it is",
            elsewhere(rehearsal),
        )
        .await;
    let anew = steps.step(
        "make swarm-down, the volume removed, make swarm-up: a shop without orders",
        lose(rehearsal),
    );
    if let Some((down, up)) = anew.await {
        steps.figure(
            "make swarm-down, make swarm-up",
            format!("{down:.0} s, {up:.0} s"),
        );
        let restored = steps.step(
            "a restore that was killed is run again, and every row is back",
            restored(rehearsal, &saved),
        );
        if let Some(seconds) = restored.await {
            steps.figure("restored", format!("{seconds:.0} s"));
        }
    }
}

/// A backup, and what the shop held.
struct Saved {
    /// Removed with everything in it.
    _all: TempDir,
    folder: PathBuf,
    rows: Rows,
}

async fn save(rehearsal: &Rehearsal) -> Result<Saved> {
    for _ in 0..ORDERS {
        order(rehearsal).await?;
    }
    let all = tempfile::tempdir()?;
    let rows = rows(rehearsal).await?;
    let output = backup(rehearsal, 1, all.path(), None).await?;
    ensure!(output.status.success(), "{}", said(&output));
    let folder = std::fs::read_dir(all.path())?.next();
    let folder = folder.context("a backup")??.path();
    ensure!(!rows["orders.orders"].starts_with("0|"), "{rows:?}");
    Ok(Saved {
        _all: all,
        folder,
        rows,
    })
}

/// A worker is asked, and then the same host as a manager: PostgreSQL is on host1.
async fn elsewhere(rehearsal: &Rehearsal) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let refused = backup(rehearsal, 2, folder.path(), None).await?;
    let manager = "backup: this engine is no manager of a Swarm";
    is_refused(&refused, manager, folder.path())?;

    rehearsal.docker(1, &["node", "promote", "host2"]).await?;
    eventually("host2 manages, too", async || {
        let format = "{{.Swarm.ControlAvailable}}";
        let manages = rehearsal.docker(2, &["info", "--format", format]).await?;
        ensure!(manages == "true", "{manages}");
        Ok(())
    })
    .await?;
    let refused = backup(rehearsal, 2, folder.path(), None).await?;
    let elsewhere = format!(
        "backup: the task of {STACK}_postgres runs on host1, whose engine was not asked\n\
         backup: remedy: name it, as in STORES_HOST=ssh://host1\n"
    );
    is_refused(&refused, &elsewhere, folder.path())?;
    let told = backup(rehearsal, 2, folder.path(), Some(1)).await?;
    ensure!(told.status.success(), "{}", said(&told));
    Ok(())
}

fn is_refused(output: &Output, words: &str, folder: &Path) -> Result<()> {
    let said = said(output);
    ensure!(
        !output.status.success() && said.contains(words),
        "should say `{words}`: {said}"
    );
    ensure!(
        std::fs::read_dir(folder)?.next().is_none(),
        "something was saved"
    );
    Ok(())
}

async fn lose(rehearsal: &Rehearsal) -> Result<(f64, f64)> {
    let began = now();
    expect(rehearsal.make("swarm-down")).await?;
    let down = began.elapsed().as_secs_f64();
    let volume = format!("{STACK}_postgres-data");
    rehearsal.docker(1, &["volume", "rm", &volume]).await?;
    let began = now();
    expect(rehearsal.make("swarm-up")).await?;
    let up = began.elapsed().as_secs_f64();
    let rows = rows(rehearsal).await?;
    let orders = rows.get("orders.orders").context("a table of orders")?;
    ensure!(orders.starts_with("0|"), "nothing was lost: {rows:?}");
    Ok((down, up))
}

async fn restored(rehearsal: &Rehearsal, saved: &Saved) -> Result<f64> {
    let deadly = rehearsal.instead_of_docker("deadly", DEADLY)?;
    let mut killed = restore(rehearsal, saved);
    killed.envs(deadly);
    let output = run(killed).await?;
    let is_killed = output.status.code() == Some(137) || output.status.signal() == Some(9);
    ensure!(is_killed, "{}", said(&output));
    let began = now();
    expect(restore(rehearsal, saved)).await?;
    let seconds = began.elapsed().as_secs_f64();
    let now = rows(rehearsal).await?;
    ensure!(
        now == saved.rows,
        "{now:?} is there, {:?} was saved",
        saved.rows
    );
    for service in ["order-service", "product-service"] {
        let tasks = rehearsal.tasks(service).await?;
        ensure!(tasks.len() == 2, "{service} runs on {tasks:?}");
    }
    order(rehearsal).await?; // and it goes on
    rehearsal.docker(1, &["node", "demote", "host2"]).await?;
    Ok(seconds)
}

async fn backup(
    rehearsal: &Rehearsal,
    host: usize,
    to: &Path,
    stores: Option<usize>,
) -> Result<Output> {
    let mut command = rehearsal.operation("backup.sh", host);
    command.env("TO", to);
    if let Some(host) = stores {
        command.env("STORES_HOST", rehearsal.engine(host));
    }
    run(command).await
}

/// In a process group of its own, so that it can be killed with all it has started.
fn restore(rehearsal: &Rehearsal, saved: &Saved) -> Command {
    let mut command = rehearsal.operation("restore.sh", 2);
    command
        .env("STORES_HOST", rehearsal.engine(1))
        .env("FROM", &saved.folder)
        .env("FORCE", "1")
        .process_group(0);
    command
}

async fn rows(rehearsal: &Rehearsal) -> Result<Rows> {
    let label = format!("label=com.docker.swarm.service.name={STACK}_postgres");
    let container = rehearsal
        .docker(1, &["ps", "--quiet", "--filter", &label])
        .await?;
    rows::of(async |arguments: &[&str]| {
        let exec = ["exec", container.as_str()];
        rehearsal.docker(1, &[&exec, arguments].concat()).await
    })
    .await
}

pub(crate) async fn order(rehearsal: &Rehearsal) -> Result<()> {
    let order =
        json!({"customer_id": "the-swarm-test", "items": [{"product_id": "1", "quantity": 1}]});
    let answer = reqwest::Client::new()
        .post(format!("{}/api/orders", rehearsal.url(1)))
        .header("idempotency-key", uuid::Uuid::new_v4().to_string())
        .json(&order)
        .send()
        .await?;
    let (code, body) = (answer.status(), answer.text().await?);
    ensure!(code == 201, "{code}: {body}");
    Ok(())
}
