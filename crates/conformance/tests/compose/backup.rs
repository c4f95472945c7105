//! `docker/ops/backup.sh` and `docker/ops/restore.sh` on a stack: what is lost with its volumes is back, row by row.
//! What has been restored then gets new secrets.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use test_support::Steps;

use crate::docker::said;
use crate::engine::Engine;
use crate::rotation;
use crate::rows::{self, Rows};
use crate::shop::{gone, seconds, timed};
use crate::shopper;
use crate::stack::Stack;

const ORDERS: usize = 3;

pub(crate) async fn tell(steps: &mut Steps, engine: &Engine) {
    let Some(stack) = steps
        .step("backup: a shop with orders", begin(engine))
        .await
    else {
        return;
    };
    if let Some(saved) = steps
        .step("backup: it is saved while it runs", save(&stack))
        .await
    {
        steps
            .step(
                "backup: a dump that is cut off is refused before anything is touched",
                refused(&stack, &saved),
            )
            .await;
        let restored = timed(lost_and_restored(&stack, &saved));
        if let Some(took) = steps
            .step(
                "backup: after the loss of its volumes every row is back",
                restored,
            )
            .await
        {
            steps.figure("backup: volumes lost, shop up, restored, s", seconds(took));
            rotation::tell(steps, &stack, "rotation", &[]).await;
        }
    }
    steps
        .step("backup: `down --volumes` leaves nothing", gone(&stack))
        .await;
}

async fn begin(engine: &Engine) -> Result<Stack> {
    let stack = Stack::new(engine, "backup", &[]).await?;
    stack.up(&[]).await?;
    for _ in 0..ORDERS {
        shopper::order(&stack).await?;
    }
    Ok(stack)
}

/// A backup, and what the shop held.
struct Saved {
    /// Removed with everything in it.
    all: TempDir,
    folder: PathBuf,
    rows: Rows,
}

async fn save(stack: &Stack) -> Result<Saved> {
    let all = tempfile::tempdir()?;
    let rows = rows(stack).await?;
    let placed = rows.get("orders.orders").context("a table of orders")?;
    ensure!(placed.starts_with(&format!("{ORDERS}|")), "{rows:?}");
    let output = backup(stack, all.path()).await?;
    ensure!(output.status.success(), "{}", said(&output));
    let mut listed = std::fs::read_dir(all.path())?;
    let folder = listed.next().context("a backup")??.path();
    ensure!(listed.next().is_none(), "more than a backup is left");
    Ok(Saved { all, folder, rows })
}

async fn refused(stack: &Stack, saved: &Saved) -> Result<()> {
    let damaged = saved.all.path().join("damaged");
    std::fs::create_dir(&damaged)?;
    for entry in std::fs::read_dir(&saved.folder)? {
        let entry = entry?;
        std::fs::copy(entry.path(), damaged.join(entry.file_name()))?;
    }
    let dump = std::fs::OpenOptions::new()
        .write(true)
        .open(damaged.join("orders.dump"))?;
    dump.set_len(dump.metadata()?.len() - 1)?;
    let output = restore(stack, &damaged).await?;
    ensure!(
        !output.status.success() && said(&output).contains("orders.dump is not what was saved"),
        "{}",
        said(&output)
    );
    let now = rows(stack).await?;
    ensure!(
        now == saved.rows,
        "{now:?} is there now, {:?} was",
        saved.rows
    );
    shopper::order(stack).await.map(drop)
}

async fn lost_and_restored(stack: &Stack, saved: &Saved) -> Result<()> {
    stack.compose(&["down", "--volumes"]).await?;
    stack.up(&[]).await?;
    let new = rows(stack).await?;
    let none = new
        .get("orders.orders")
        .is_some_and(|orders| orders.starts_with("0|"));
    ensure!(none, "nothing was lost: {new:?}");
    let output = restore(stack, &saved.folder).await?;
    ensure!(output.status.success(), "{}", said(&output));
    let now = rows(stack).await?;
    ensure!(
        now == saved.rows,
        "{now:?} is there, {:?} was saved",
        saved.rows
    );
    shopper::order(stack).await.map(drop) // and it goes on
}

async fn backup(stack: &Stack, to: &Path) -> Result<Output> {
    let variables = [("WAY", OsStr::new("compose")), ("TO", to.as_os_str())];
    stack.script("docker/ops/backup.sh", &variables).await
}

async fn restore(stack: &Stack, from: &Path) -> Result<Output> {
    let variables = [
        ("WAY", OsStr::new("compose")),
        ("FROM", from.as_os_str()),
        ("FORCE", OsStr::new("1")),
    ];
    stack.script("docker/ops/restore.sh", &variables).await
}

async fn rows(stack: &Stack) -> Result<Rows> {
    let psql = async |arguments: &[&str]| {
        let exec = ["exec", "-T", "postgres"];
        stack.compose(&[&exec, arguments].concat()).await
    };
    rows::of(psql).await
}
