//! What cannot work is said clearly, and nothing of it is deployed.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result, bail, ensure};
use nix::sched::{CloneFlags, setns};
use test_support::Steps;
use tokio::process::Command;

use crate::command::{expect, mortal, run, said};
use crate::rehearsal::{Rehearsal, tag};

/// An old engine is not to be had: docker's own answers, but for one that is put in its mouth.
const OLD_ENGINE: &str = r#"#!/bin/sh
case "$1 $2" in "node inspect") echo host1 18.09.1 ;; *) exec "$REAL_DOCKER" "$@" ;; esac
"#;

/// A network of somebody else's.
const TAKEN: &str = "taken";

pub(crate) async fn tell(steps: &mut Steps, rehearsal: &Rehearsal) {
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
    let refused = is_refused(
        rehearsal,
        plain,
        [
            "required variable ",
            " is missing a value: run docker/swarm/deploy.sh",
        ],
    );
    steps
        .step("without its secrets nothing is deployed by hand", refused)
        .await;

    let mut missing = rehearsal.deployment(1);
    missing.env("SECRETS_DIR", "/proc/self/fdinfo");
    let refused = is_refused(
        rehearsal,
        missing,
        [
            "deploy: there is no secret /proc/self/fdinfo/admin-token; nothing was deployed\n",
            "deploy: remedy: leave SECRETS_DIR out, and they are minted; or put a file there for each of:\n",
        ],
    );
    steps.step("nor by the script", refused).await;

    for (name, prefix, words) in [
        (
            "nor on what is no subnet",
            "10.256.1",
            [
                "deploy: BACKEND_PREFIX: 10.256.1.0/24 is no subnet; nothing was deployed\n",
                "deploy: remedy: three numbers up to 255, as in BACKEND_PREFIX=10.20.0\n",
            ],
        ),
        (
            "nor two networks on one subnet",
            "172.20.0",
            [
                "deploy: BACKEND_PREFIX: 172.20.0.0/24 is that of FRONTEND_PREFIX, too; nothing was deployed\n",
                "deploy: remedy: each of FRONTEND_PREFIX, BACKEND_PREFIX and DATABASE_PREFIX wants its own\n",
            ],
        ),
    ] {
        let mut clash = rehearsal.deployment(1);
        clash.env("BACKEND_PREFIX", prefix);
        let refused = is_refused(rehearsal, clash, words);
        steps.step(name, refused).await;
    }

    let refused = is_refused(
        rehearsal,
        rehearsal.deployment(2),
        [
            "deploy: this engine is a worker of its Swarm; nothing was deployed\n",
            "deploy: remedy: choose a manager, with docker context use or DOCKER_HOST\n",
        ],
    );
    steps.step("a worker deploys nothing", refused).await;
    no_swarm(steps, rehearsal).await;

    let mut nowhere = rehearsal.deployment(1);
    nowhere.env("TAG", "nowhere");
    let refused = is_refused(
        rehearsal,
        nowhere,
        [
            "deploy: the image underlay/api-gateway:nowhere is not on this manager, and cannot be pulled; nothing was deployed\n",
            "deploy: remedy: build it (",
        ],
    );
    steps
        .step("nothing is deployed from images that are nowhere", refused)
        .await;

    steps
        .step(
            "nor when one host lacks an image that is in no registry",
            missing_image(rehearsal),
        )
        .await;
    steps
        .step("nor on an engine too old", too_old(rehearsal))
        .await;
    steps
        .step(
            "nor beside a network with our subnet in it",
            taken_subnet(rehearsal),
        )
        .await;
    steps
        .step(
            "nor where another program of one host has the port",
            taken_port(rehearsal),
        )
        .await;
    steps
        .step("on one host one registry is deployed", alone(rehearsal))
        .await;
}

/// Where only one host takes tasks there is one registry, since two are not to be lost together.
async fn alone(rehearsal: &Rehearsal) -> Result<()> {
    let availability = async |is: &str| {
        for host in ["host2", "host3"] {
            let update = ["node", "update", "--availability", is, host];
            rehearsal.docker(1, &update).await?;
        }
        anyhow::Ok(())
    };
    availability("drain").await?;
    let mut deployment = rehearsal.deployment(1);
    deployment.env("SERVICES", "service-registry");
    let deployed = expect(deployment).await;
    availability("active").await?;
    let words = "deploy: on one host there is one registry; deploy again when there are more hosts";
    ensure!(deployed?.contains(words), "does not say so");
    let hosts = rehearsal.tasks("service-registry").await?;
    ensure!(hosts == [1], "registries are on {hosts:?}");
    Ok(())
}

/// The engine that has the images, where it is in no Swarm: else this would be a deployment.
async fn no_swarm(steps: &mut Steps, rehearsal: &Rehearsal) {
    const NAME: &str = "nor an engine without a Swarm";
    let state = expect({
        let mut info = mortal("docker");
        info.args(["info", "--format", "{{.Swarm.LocalNodeState}}"]);
        info
    });
    match state.await {
        Ok(state) if state == "inactive" => {}
        Ok(state) => {
            return steps.lacks(
                NAME,
                &format!("the engine with the images is in a Swarm ({state}): docker swarm leave"),
            );
        }
        Err(error) => return steps.fail(NAME, &error),
    }
    let mut alone = rehearsal.deployment(1);
    match std::env::var_os("DOCKER_HOST") {
        Some(host) => alone.env("DOCKER_HOST", host),
        None => alone.env_remove("DOCKER_HOST"),
    };
    let refused = is_refused(
        rehearsal,
        alone,
        [
            "deploy: this engine is in no Swarm; nothing was deployed\n",
            "deploy: remedy: docker swarm init, ",
        ],
    );
    steps.step(NAME, refused).await;
}

async fn taken_subnet(rehearsal: &Rehearsal) -> Result<()> {
    let subnet = "172.21.0.0/16";
    let create = [
        "network", "create", "--driver", "overlay", "--subnet", subnet,
    ];
    rehearsal
        .docker(1, &[&create[..], &[TAKEN]].concat())
        .await?;
    let refused = is_refused(
        rehearsal,
        rehearsal.deployment(1),
        [
            "deploy: the subnet 172.21.0.0/24 is taken, by the network taken (172.21.0.0/16); nothing was deployed\n",
            "deploy: remedy: other FRONTEND_PREFIX, BACKEND_PREFIX and DATABASE_PREFIX, such as 10.20.0\n",
        ],
    );
    let refused = refused.await;
    rehearsal.docker(1, &["network", "rm", TAKEN]).await?;
    refused
}

async fn missing_image(rehearsal: &Rehearsal) -> Result<()> {
    let image = format!("underlay/order-service:{}", tag());
    let kept = "underlay/order-service:next";
    rehearsal.docker(3, &["rmi", &image]).await?;
    let lacking = format!("deploy:   host3: {image}\n");
    let refused = is_refused(
        rehearsal,
        rehearsal.deployment(1),
        [
            "deploy: hosts lack images, and there is no registry that has them; nothing was deployed\n",
            &lacking,
            "deploy: remedy: docker save IMAGE | docker -H ssh://HOST load, for each; or IMAGES=REGISTRY/FOLDER make swarm-up, with a registry that all reach\n",
        ],
    );
    let refused = refused.await;
    rehearsal.docker(3, &["tag", kept, &image]).await?;
    refused
}

async fn taken_port(rehearsal: &Rehearsal) -> Result<()> {
    let host = format!("/run/netns/underlay-{}-host3", rehearsal.name);
    // A namespace is a thread's; a socket keeps it.
    let taken = std::thread::spawn(move || {
        let namespace = File::open(&host).context(host)?;
        setns(&namespace, CloneFlags::CLONE_NEWNET).context("entering host3")?;
        Ok::<_, anyhow::Error>(TcpListener::bind((Ipv4Addr::UNSPECIFIED, 8080))?)
    });
    let Ok(taken) = taken.join() else {
        bail!("the listener panicked");
    };
    let taken = taken?;
    let refused = is_refused(
        rehearsal,
        rehearsal.deployment(1),
        [
            "deploy: port 8080 is taken on host3; nothing was deployed\n",
            "deploy: remedy: see there who has it (ss -ltnp 'sport = :8080') and stop that; or another HTTP_PORT\n",
        ],
    );
    refused.await?;
    drop(taken);
    Ok(())
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
    let others = networks.lines().filter(|name| *name != TAKEN);
    ensure!(others.eq(["ingress"]), "networks: {networks}");
    Ok(())
}

async fn too_old(rehearsal: &Rehearsal) -> Result<()> {
    let mut command = rehearsal.deployment(1);
    command.envs(rehearsal.instead_of_docker("old", OLD_ENGINE)?);
    let words = [
        "deploy: the Docker engine of host1 is 18.09.1, too old; nothing was deployed\n",
        "deploy: remedy: Docker Engine 20.10 or newer on every host\n",
    ];
    is_refused(rehearsal, command, words).await
}
