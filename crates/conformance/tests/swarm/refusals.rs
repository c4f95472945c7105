//! What cannot work is said clearly, and nothing of it is deployed.

use anyhow::{Result, ensure};
use test_support::Steps;
use tokio::process::Command;

use crate::command::{mortal, run, said};
use crate::rehearsal::Rehearsal;

/// An old engine is not to be had: docker's own answers, but for one that is put in its mouth.
const OLD_ENGINE: &str = r#"#!/bin/sh
case "$1 $2" in "node inspect") echo host1 18.09.1 ;; *) exec "$REAL_DOCKER" "$@" ;; esac
"#;

pub(crate) async fn tell(steps: &mut Steps, rehearsal: &Rehearsal) {
    let said = "docker/swarm/deploy.sh";
    let mut plain = mortal("docker");
    plain
        .args([
            "stack",
            "deploy",
            "--compose-file",
            "docker-compose-swarm.yml",
            "plain",
        ])
        .env("DOCKER_HOST", rehearsal.engine(1));
    let refused = is_refused(rehearsal, plain, [said]);
    steps
        .step("without its secrets nothing is deployed by hand", refused)
        .await;

    let mut missing = rehearsal.deployment(1);
    missing.env("SECRETS_DIR", "/proc/self/fdinfo");
    let refused = is_refused(
        rehearsal,
        missing,
        ["there is no secret", "nothing was deployed", "remedy:"],
    );
    steps.step("nor by the script", refused).await;

    let refused = is_refused(
        rehearsal,
        rehearsal.deployment(2),
        ["no manager of a Swarm", "nothing was deployed", "remedy:"],
    );
    steps.step("a worker deploys nothing", refused).await;

    let mut nowhere = rehearsal.deployment(1);
    nowhere.env("TAG", "nowhere");
    let refused = is_refused(
        rehearsal,
        nowhere,
        [
            "underlay/api-gateway:nowhere",
            "nothing was deployed",
            "remedy:",
        ],
    );
    steps
        .step("nothing is deployed from images that are nowhere", refused)
        .await;

    steps
        .step("nor on an engine too old", too_old(rehearsal))
        .await;
}

/// A command fails, says all of `words`, and leaves the Swarm as empty as it was.
async fn is_refused<const N: usize>(
    rehearsal: &Rehearsal,
    command: Command,
    words: [&str; N],
) -> Result<()> {
    let output = run(command).await?;
    let said = said(&output);
    ensure!(!output.status.success(), "was not refused: {said}");
    for word in words {
        ensure!(said.contains(word), "does not say `{word}`: {said}");
    }
    for kind in ["service", "secret", "config"] {
        let there = rehearsal.docker(1, &[kind, "ls", "--quiet"]).await?;
        ensure!(there.is_empty(), "a {kind} is there: {there}");
    }
    let networks = [
        "network",
        "ls",
        "--filter",
        "driver=overlay",
        "--format",
        "{{.Name}}",
    ];
    let networks = rehearsal.docker(1, &networks).await?;
    ensure!(networks == "ingress", "networks: {networks}");
    Ok(())
}

async fn too_old(rehearsal: &Rehearsal) -> Result<()> {
    let mut command = rehearsal.deployment(1);
    command.envs(rehearsal.instead_of_docker("old", OLD_ENGINE)?);
    let words = [
        "host1 is 18.09.1, too old",
        "nothing was deployed",
        "remedy:",
    ];
    is_refused(rehearsal, command, words).await
}
