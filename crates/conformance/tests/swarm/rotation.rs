//! Every secret is made anew while customers order and read: `docker/ops/rotate.sh` on a Swarm.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;

use anyhow::{Result, ensure};
use test_support::{SECRETS, Steps};

use crate::backup::order;
use crate::command::{expect, run, said};
use crate::rehearsal::{Rehearsal, STACK, now};
use crate::renewal::{self, Secrets};

/// Of the one that is interrupted.
const ONLY: &str = "orders-password";
/// `docker` that ends the script when PostgreSQL has that new password and Swarm has been asked to hand it out.
const DEADLY: &str = r#"#!/bin/sh
"$REAL_DOCKER" "$@" || exit
case "$*" in "service update "*underlay_order-service) kill -KILL 0 ;; esac
"#;

pub(crate) async fn tell(steps: &mut Steps, rehearsal: &Rehearsal) {
    let told = async {
        let (secrets, names) = (secrets(rehearsal)?, names(rehearsal).await?);
        let noticed = renewal::unnoticed(&rehearsal.urls(), async {
            let began = now();
            expect(rehearsal.operation("rotate.sh", 1)).await?;
            Ok(began.elapsed())
        })
        .await?;
        Ok((secrets, names, noticed))
    };
    let name = "every secret is made anew, and who comes again when asked to does not notice";
    let Some((secrets, names, noticed)) = steps.step(name, told).await else {
        return;
    };
    steps.figure("secrets rotated", noticed);
    steps
        .step(
            "the ones before are refused, and gone from the Swarm",
            replaced(rehearsal, &secrets, &names),
        )
        .await;
    steps
        .step(
            "one that was killed is gone on with",
            interrupted(rehearsal),
        )
        .await;
}

async fn interrupted(rehearsal: &Rehearsal) -> Result<()> {
    let (secret, before) = (rehearsal.secret(ONLY)?, names(rehearsal).await?);
    let deadly = rehearsal.instead_of_docker("deadly-rotation", DEADLY)?;
    let mut killed = rehearsal.operation("rotate.sh", 1);
    killed.env("ONLY", ONLY).envs(deadly).process_group(0);
    let output = run(killed).await?;
    let is_killed = output.status.code() == Some(137) || output.status.signal() == Some(9);
    ensure!(is_killed, "{}", said(&output));
    let minted = rehearsal.secret(ONLY)?;
    ensure!(minted != secret, "{ONLY} is the one before");
    let mut again = rehearsal.operation("rotate.sh", 1);
    again.env("ONLY", ONLY);
    expect(again).await?;
    ensure!(rehearsal.secret(ONLY)? == minted, "was minted twice");
    let now = names(rehearsal).await?;
    let (gone, new): (Vec<_>, Vec<_>) = (
        before.difference(&now).collect(),
        now.difference(&before).collect(),
    );
    let is_of_it = |names: &[&String]| matches!(names, [name] if name.contains(ONLY));
    ensure!(
        is_of_it(&gone) && is_of_it(&new),
        "gone from the Swarm are {gone:?}, new {new:?}"
    );
    order(rehearsal).await
}

fn secrets(rehearsal: &Rehearsal) -> Result<Secrets> {
    let mut secrets = Secrets::new();
    for name in SECRETS {
        secrets.insert(name.to_owned(), rehearsal.secret(name)?);
    }
    Ok(secrets)
}

/// The Swarm's own secrets.
async fn names(rehearsal: &Rehearsal) -> Result<BTreeSet<String>> {
    let listed = ["secret", "ls", "--format", "{{.Name}}"];
    let listed = rehearsal.docker(1, &listed).await?;
    Ok(listed.lines().map(str::to_owned).collect())
}

async fn replaced(
    rehearsal: &Rehearsal,
    before: &Secrets,
    names_before: &BTreeSet<String>,
) -> Result<()> {
    let names = names(rehearsal).await?;
    ensure!(
        names.len() == SECRETS.len() + 1 && names.is_disjoint(names_before),
        "there are {names:?}, {names_before:?} before"
    );
    let inside = async |service: &str, script: &str| inside(rehearsal, service, script).await;
    renewal::replaced(before, &secrets(rehearsal)?, &rehearsal.urls(), inside).await
}

/// A shell's words beside a store, on the manager.
async fn inside(rehearsal: &Rehearsal, service: &str, script: &str) -> Result<String> {
    let label = format!("label=com.docker.swarm.service.name={STACK}_{service}");
    let container = ["ps", "--quiet", "--filter", &label];
    let container = rehearsal.docker(1, &container).await?;
    let exec = ["exec", &container, "/bin/sh", "-c", script];
    rehearsal.docker(1, &exec).await
}
