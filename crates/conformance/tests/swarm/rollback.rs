//! A version that does not work is taken back by the Swarm itself, and customers do not notice.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use test_support::Steps;

use crate::command::{run, said};
use crate::customers::{Noticed, Refused, meanwhile};
use crate::rehearsal::{HOSTS, Rehearsal, STACK, now, tag};

/// Of each service what is changed in its image: a program that ends at once, and one that never reaches its database.
const BAD: &[(&str, &str)] = &[
    (
        "order-service",
        r#"ENTRYPOINT ["/app/order-service", "no-such-thing"]"#,
    ),
    ("product-service", "ENV DATABASE__PORT=1"),
];

pub(crate) async fn tell(steps: &mut Steps, rehearsal: &Rehearsal) {
    steps
        .step(
            "from a machine without its secrets a stack is not deployed again",
            without_secrets(rehearsal),
        )
        .await;
    let name =
        "a version that ends at once and one that is never healthy are taken back, unnoticed";
    if let Some((seconds, noticed)) = steps.step(name, taken_back(rehearsal)).await {
        steps.figure(
            "bad versions taken back",
            format!("{seconds:.0} s, {} answers, 0 failed", noticed.answered),
        );
    }
}

async fn without_secrets(rehearsal: &Rehearsal) -> Result<()> {
    let elsewhere = tempfile::tempdir()?;
    let mut command = rehearsal.deployment(1);
    command.env("XDG_STATE_HOME", elsewhere.path());
    let output = run(command).await?;
    let words = format!(
        "deploy: the secrets of the stack {STACK} are not on this machine: there is no {}/underlay/{STACK}/master; nothing was deployed\n",
        elsewhere.path().display()
    );
    let said = said(&output);
    ensure!(!output.status.success() && said.contains(&words), "{said}");
    let minted = std::fs::read_dir(elsewhere.path())?.count();
    ensure!(minted == 0, "something was minted");
    Ok(())
}

async fn taken_back(rehearsal: &Rehearsal) -> Result<(f64, Noticed)> {
    for host in 1..=HOSTS {
        for (service, change) in BAD {
            let image = format!("underlay/{service}:{}", tag());
            let container = rehearsal.docker(host, &["create", &image]).await?;
            let bad = format!("underlay/{service}:bad");
            let commit = ["commit", "--change", change, &container, &bad];
            rehearsal.docker(host, &commit).await?;
            rehearsal.docker(host, &["rm", &container]).await?;
        }
    }
    let before = versions(rehearsal).await?;
    let update = async {
        let began = now();
        let mut deployment = rehearsal.deployment(1);
        let names: Vec<_> = BAD.iter().map(|(service, _)| *service).collect();
        deployment
            .env("SERVICES", names.join(" "))
            .env("TAG", "bad");
        Ok((run(deployment).await?, began.elapsed().as_secs_f64()))
    };
    let ((output, seconds), noticed) = meanwhile(&rehearsal.urls(), Refused::Fails, update).await?;
    let said = said(&output);
    let words =
        "deploy: what was deployed does not keep well; a Swarm has gone back to what was there\n";
    ensure!(!output.status.success() && said.contains(words), "{said}");
    for (service, _) in BAD {
        let name = format!("{STACK}_{service}");
        let format = "{{.UpdateStatus.State}}";
        let inspect = ["service", "inspect", "--format", format, &name];
        let state = rehearsal.docker(1, &inspect).await?;
        ensure!(state == "rollback_completed", "{service}: {state}: {said}");
        ensure!(said.contains(&format!("{name} ")), "{said}");
        let tasks = rehearsal.tasks(service).await?;
        ensure!(tasks.len() == 2, "{service} runs on {tasks:?}");
    }
    let after = versions(rehearsal).await?;
    ensure!(after == before, "{after:?} now, {before:?} before");
    noticed.nothing_bad()?;
    Ok((seconds, noticed))
}

/// Every service's image.
async fn versions(rehearsal: &Rehearsal) -> Result<BTreeMap<String, String>> {
    let list = ["service", "ls", "--format", "{{.Name}} {{.Image}}"];
    let listed = rehearsal.docker(1, &list).await?;
    let pairs = listed.lines().filter_map(|line| line.split_once(' '));
    Ok(pairs
        .map(|(name, image)| (name.to_owned(), image.to_owned()))
        .collect())
}
