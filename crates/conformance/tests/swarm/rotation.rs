//! Every secret is made anew while customers order and read: `docker/ops/rotate.sh` on a Swarm.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use test_support::Steps;

use crate::command::expect;
use crate::rehearsal::{HOSTS, Rehearsal, STACK, now};
use crate::renewal::{self, SECRETS, Secrets};

pub(crate) async fn tell(steps: &mut Steps, rehearsal: &Rehearsal) {
    let told = async {
        let (secrets, names) = (secrets(rehearsal)?, names(rehearsal).await?);
        let noticed = renewal::unnoticed(&urls(rehearsal), async {
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
}

fn urls(rehearsal: &Rehearsal) -> Vec<String> {
    (1..=HOSTS).map(|host| rehearsal.url(host)).collect()
}

fn secrets(rehearsal: &Rehearsal) -> Result<Secrets> {
    let mut secrets = Secrets::new();
    for name in SECRETS {
        secrets.insert((*name).to_owned(), rehearsal.secret(name)?);
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
    renewal::replaced(before, &secrets(rehearsal)?, &urls(rehearsal), inside).await
}

/// A shell's words beside a store, on the manager.
async fn inside(rehearsal: &Rehearsal, service: &str, script: &str) -> Result<String> {
    let label = format!("label=com.docker.swarm.service.name={STACK}_{service}");
    let container = ["ps", "--quiet", "--filter", &label];
    let container = rehearsal.docker(1, &container).await?;
    let exec = ["exec", &container, "/bin/sh", "-c", script];
    rehearsal.docker(1, &exec).await
}
