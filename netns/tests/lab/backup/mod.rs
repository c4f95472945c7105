//! The shop is saved and put back: `docker/ops/backup.sh` and `docker/ops/restore.sh` on a lab, rows compared one by one by PostgreSQL.

mod killed;
mod rows;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use test_support::eventually;

use self::killed::killed;
pub(crate) use self::rows::agree;
use self::rows::{Rows, is_in_manifest, rows};
use crate::setting::{Lab, Setting, UP, said};
use crate::shop::{get, order};
use crate::steps::Steps;

/// Orders that are to be placed while a backup is made, before and after it.
const STRETCH: usize = 10;
/// Customers who place orders meanwhile.
const CUSTOMERS: usize = 3;

pub(crate) async fn tell(steps: &mut Steps, setting: &Setting) {
    let Some(lab) = steps
        .step("a shop with orders, to be saved", begin(setting))
        .await
    else {
        return;
    };
    let saved = steps
        .step(
            "it is saved: the files are whole, private and without secrets",
            saved(&lab),
        )
        .await;
    let Some((folder, rows)) = saved else { return };
    steps
        .step(
            "what is no whole backup is refused before anything is touched",
            refused(&lab, &folder),
        )
        .await;
    steps
        .step(
            "after the loss of its volumes every row is back",
            wiped(&lab, &folder, &rows),
        )
        .await;
    steps
        .step(
            "saved while customers order, every confirmed order has its stock, and no other",
            saved_under_load(&lab),
        )
        .await;
    if let Some(told) = steps
        .step(
            "a restore that is killed leaves the old rows or the new ones",
            killed(&lab, setting, &folder, &rows),
        )
        .await
    {
        steps.figure("restores killed", told);
    }
    steps
        .step("the lab goes", async {
            lab.expect(&["down", "--volumes"]).await.map(drop)
        })
        .await;
}

async fn begin(setting: &Setting) -> Result<Lab<'_>> {
    let lab = Lab::new(setting, "backup", setting.compose_file())?;
    lab.expect(&UP).await?;
    let cancelled = order(&lab).await?;
    let id = cancelled["id"].as_str().context("an id")?;
    let answer = reqwest::Client::new()
        .post(format!("{}/api/orders/{id}/cancel", lab.url()))
        .send()
        .await?;
    ensure!(answer.status() == 200, "{}", answer.status());
    deliver(&lab).await?;
    Ok(lab)
}

/// Fills the stock of product 1, of which orders here are, by far.
pub(crate) async fn deliver(lab: &Lab<'_>) -> Result<()> {
    let token = lab.expect(&["secret", "admin-token"]).await?;
    let answer = reqwest::Client::new()
        .post(format!("{}/api/products/1/stock", lab.url()))
        .bearer_auth(token.trim())
        .json(&json!({"id": "a-delivery", "delta": 100_000}))
        .send()
        .await?;
    ensure!(answer.status() == 200, "{}", answer.status());
    Ok(())
}

/// Where backups go: a folder of this lab's own user.
fn backups(lab: &Lab<'_>) -> PathBuf {
    lab.state().with_extension("backups")
}

async fn script(lab: &Lab<'_>, variables: &str, script: &str) -> Result<std::process::Output> {
    let to = backups(lab);
    lab.shell(&format!(
        "TO={} {variables} docker/ops/{script}.sh",
        to.display()
    ))
    .await
}

async fn expect(lab: &Lab<'_>, variables: &str, name: &str) -> Result<String> {
    let output = script(lab, variables, name).await?;
    ensure!(output.status.success(), "{name}: {}", said(&output));
    Ok(said(&output))
}

async fn saved(lab: &Lab<'_>) -> Result<(PathBuf, Rows)> {
    let held = rows(lab).await?;
    let told = expect(lab, "", "backup").await?;
    let listed: Vec<_> = std::fs::read_dir(backups(lab))?.collect::<Result<_, _>>()?;
    ensure!(listed.len() == 1, "not one backup: {listed:?}");
    let folder = listed[0].path();
    is_private(lab, &folder, &told)?;
    is_in_manifest(&folder, &held)?;
    Ok((folder, held))
}

/// Orders and stock are noted at one moment. What was undecided then is decided after a restore, as after a crash.
async fn saved_under_load(lab: &Lab<'_>) -> Result<()> {
    let (placed, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let customer = || async {
        while !done.load(Ordering::Relaxed) {
            order(lab).await?;
            placed.fetch_add(1, Ordering::Relaxed);
        }
        anyhow::Ok(())
    };
    let operator = async {
        let told = async {
            more(&placed).await?;
            expect(lab, "", "backup").await?;
            more(&placed).await
        }
        .await;
        done.store(true, Ordering::Relaxed);
        told
    };
    let customers = (0..CUSTOMERS).map(|_| customer());
    let (told, ordered) = tokio::join!(operator, futures_util::future::join_all(customers));
    told?;
    ordered.into_iter().collect::<Result<()>>()?;
    let mut listed = std::fs::read_dir(backups(lab))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    listed.sort();
    let last = listed.last().context("a backup")?;
    expect(lab, &format!("FORCE=1 FROM={}", last.display()), "restore").await?;
    eventually("orders and stock agree", || agree(lab)).await
}

async fn more(placed: &AtomicUsize) -> Result<()> {
    let wanted = placed.load(Ordering::Relaxed) + STRETCH;
    eventually("customers order", || async {
        let have = placed.load(Ordering::Relaxed);
        ensure!(have >= wanted, "{have} of {wanted} orders");
        Ok(())
    })
    .await
}

/// Nobody else can read a backup, and no secret is in it or was said.
fn is_private(lab: &Lab<'_>, folder: &Path, told: &str) -> Result<()> {
    let mut texts = vec![told.as_bytes().to_vec()];
    ensure!(folder.metadata()?.mode() & 0o777 == 0o700, "{folder:?}");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        names.push(entry.file_name().to_string_lossy().into_owned());
        let mode = entry.metadata()?.permissions().mode() & 0o777;
        ensure!(mode == 0o600, "{:?} has mode {mode:o}", entry.path());
        texts.push(std::fs::read(entry.path())?);
    }
    names.sort();
    ensure!(
        names == ["catalog.dump", "manifest", "orders.dump"],
        "{names:?}"
    );
    let mut secrets = 0;
    for entry in std::fs::read_dir(lab.state().join("volumes/secrets-master"))? {
        let secret = std::fs::read(entry?.path())?;
        secrets += 1;
        let told = texts
            .iter()
            .any(|text| text.windows(secret.len()).any(|window| window == secret));
        ensure!(!told, "a secret is in the backup, or was printed");
    }
    ensure!(secrets > 5, "there are only {secrets} secrets");
    Ok(())
}

async fn refused(lab: &Lab<'_>, folder: &Path) -> Result<()> {
    let (before, running) = (rows(lab).await?, lab.instances().await?);
    let without_force = script(lab, &format!("FROM={}", folder.display()), "restore").await?;
    let said_of_it = said(&without_force);
    ensure!(
        !without_force.status.success()
            && said_of_it.contains("FORCE=1")
            && said_of_it.contains("orders and"),
        "without FORCE=1: {said_of_it}"
    );
    let damage: [(&str, &str); 5] = [
        (
            "truncate -s -1 orders.dump",
            "orders.dump is not what was saved",
        ),
        (
            "printf x | dd of=catalog.dump bs=1 seek=4000 conv=notrunc status=none",
            "catalog.dump is not what was saved",
        ),
        ("rm catalog.dump", "catalog.dump is missing"),
        ("sed -i '$d' manifest", "cut off"),
        // Whole by its sum, but cut when it was saved: PostgreSQL itself notices, beside the databases in use.
        (
            "truncate -s -200 catalog.dump; sed -i \"s/^\\(file catalog.dump\\) .*/\\1 $(sha256sum <catalog.dump | cut -d ' ' -f 1)/\" manifest",
            "the shop is as it was",
        ),
    ];
    for (damage, wanted) in damage {
        let copy = backups(lab).with_extension("damaged");
        let prepared = lab
            .shell(&format!(
                "rm -rf {copy} && cp -r {} {copy} && cd {copy} && {damage}",
                folder.display(),
                copy = copy.display()
            ))
            .await?;
        ensure!(prepared.status.success(), "{damage}: {}", said(&prepared));
        let output = script(lab, &format!("FORCE=1 FROM={}", copy.display()), "restore").await?;
        ensure!(
            !output.status.success() && said(&output).contains(wanted),
            "after {damage}: {}",
            said(&output)
        );
        ensure!(
            rows(lab).await? == before,
            "after {damage}: rows have changed"
        );
        std::fs::remove_dir_all(copy)?;
    }
    let now = lab.instances().await?;
    ensure!(now == running, "something was restarted: {now:?}");
    Ok(())
}

async fn wiped(lab: &Lab<'_>, folder: &Path, saved: &Rows) -> Result<()> {
    let listed: Value = get(lab, "/api/products/1").await?.json().await?;
    lab.expect(&["down", "--volumes"]).await?;
    ensure!(
        !lab.state().join("volumes").exists(),
        "the volumes are there"
    );
    lab.expect(&UP).await?;
    ensure!(rows(lab).await? != *saved, "nothing was lost");
    // Announced to the cache at a revision that the catalogue of the backup does not have.
    for _ in 0..5 {
        order(lab).await?;
    }
    let other: Value = get(lab, "/api/products/1").await?.json().await?;
    ensure!(other["stock"] != listed["stock"], "{other}");

    let restore = format!("FORCE=1 FROM={}", folder.display());
    expect(lab, &restore, "restore").await?;
    let is = rows(lab).await?;
    ensure!(is == *saved, "{is:#?} is there, {saved:#?} was saved");
    let now: Value = get(lab, "/api/products/1").await?.json().await?;
    ensure!(now == listed, "{now} is served, {listed} was saved");
    order(lab).await?; // and it goes on
    Ok(())
}
