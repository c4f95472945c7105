//! What files of others say: small files, each with something that Docker knows, run or refused or told.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::setting::{Lab, Setting, UP, said};
use crate::steps::Steps;

/// Everything small that a foreign file may say of names, files and settings, run by the machine's own shell.
const WORDS: &str = r#"
services:
  one:
    image: debian:bookworm-slim
    command: ["sleep", "3600"]
    container_name: the-one
    networks: { left: { aliases: [first] }, right: }
    secrets: [{ source: token, target: own-name }, whole]
    configs: [{ source: motd, target: /etc/motd }]
    extra_hosts: ["elsewhere:192.0.2.7", "host.docker.internal:host-gateway"]
    sysctls: { net.ipv4.tcp_keepalive_time: 77 }
    ulimits: { nofile: { soft: 99, hard: 99 } }
    shm_size: 1m
    volumes: [/scratch]
    environment: { UNSET: "<${NOWHERE_SET}>" }
    stop_grace_period: 100ms
  two:
    extends: one
    container_name: the-two
    networks: [left]
    links: ["one:linked"]
    secrets: []
  three:
    command: sleep 3600
    networks: [right]
    stop_grace_period: 100ms
  off:
    image: nginx
    profiles: [debug]
networks: { left: , right: }
secrets:
  token: { environment: TOKEN }
  whole: { file: ./whole }
configs:
  motd: { content: "hello ${TOKEN}\n" }
"#;

pub(crate) async fn tell(steps: &mut Steps, setting: &Setting) {
    steps
        .step(
            "names, files and settings of a foreign file hold inside",
            words(setting),
        )
        .await;
    steps
        .step(
            "what cannot run is refused before anything is touched, with the line to add",
            refusals(setting),
        )
        .await;
}

fn written(setting: &Setting, name: &str, text: &str) -> Result<PathBuf> {
    let folder = setting.folder(name)?;
    std::fs::write(folder.join("whole"), "a whole file\n")?;
    let file = folder.join("compose.yaml");
    std::fs::write(&file, text)?;
    Ok(file)
}

async fn words(setting: &Setting) -> Result<()> {
    let file = written(setting, "words", WORDS)?;
    std::fs::write(file.with_file_name(".env"), "TOKEN=from-dotenv\n")?;
    let lab = Lab::new(setting, "words", file)?;
    let up = lab.run(&UP).await?;
    let told = said(&up);
    ensure!(up.status.success(), "{told}");
    ensure!(
        told.contains("compose.yaml:15:27: the variable `NOWHERE_SET` is not set")
            && told.contains("`host.docker.internal` the host's address"),
        "says nothing of what it leaves out: {told}"
    );
    for (instance, script, expected) in [
        ("one-1", "cat /run/secrets/own-name", "from-dotenv"),
        ("one-1", "cat /run/secrets/whole", "a whole file\n"),
        ("one-1", "cat /etc/motd", "hello from-dotenv\n"),
        ("one-1", "cat /proc/sys/net/ipv4/tcp_keepalive_time", "77\n"),
        (
            "one-1",
            "awk '/open files/ {print $4, $5}' /proc/1/limits",
            "99 99\n",
        ),
        ("one-1", "df -k /dev/shm | awk 'NR==2 {print $2}'", "1024\n"),
        ("one-1", "echo $UNSET", "<>\n"),
        ("one-1", "touch /scratch/x && ls /scratch", "x\n"),
        ("two-1", "ls /scratch", ""),
        (
            "one-1",
            "getent hosts elsewhere | awk '{print $1}'",
            "192.0.2.7\n",
        ),
        ("two-1", "cat /etc/motd", "hello from-dotenv\n"),
        (
            "two-1",
            "getent hosts first linked the-one one-1 | wc -l",
            "4\n",
        ),
        ("three-1", "getent hosts the-one one | wc -l", "2\n"),
        // An alias holds in its network, and a link for its service.
        ("three-1", "getent hosts first linked two | wc -l", "0\n"),
        ("one-1", "getent hosts two three the-two | wc -l", "3\n"),
    ] {
        let output = lab.exec(instance, &["/bin/sh", "-c", script]).await?;
        let out = String::from_utf8_lossy(&output.stdout);
        ensure!(out == expected, "{instance}: {script}: {}", said(&output));
    }
    ensure!(
        lab.status().await?["instances"]
            .as_array()
            .is_some_and(|all| all.len() == 3),
        "a service whose profile is off runs"
    );
    lab.expect(&["down"]).await?;
    Ok(())
}

async fn refusals(setting: &Setting) -> Result<()> {
    for (name, text, code, says) in [
        (
            "image-alone",
            "services:\n  proxy:\n    image: nginx:1\n",
            64,
            "x-netns: { run: { exec: [nginx, -g, \"daemon off;\"] } }",
        ),
        (
            "arguments",
            "services:\n  proxy:\n    image: mariadb:10\n    command: --skip-networking\n",
            64,
            "x-netns: { run: { exec: [mariadbd, --skip-networking] } }",
        ),
        (
            "program",
            "services:\n  proxy:\n    image: x\n    command: no-such-program --now\n",
            69,
            "x-netns: { run: { exec: [PROGRAM, ARGUMENT] } }",
        ),
        (
            "check",
            "services:\n  proxy:\n    command: sleep 1\n    healthcheck: { test: [CMD, no-such-check] }\n",
            69,
            "no-such-check",
        ),
        (
            "secret",
            "services:\n  proxy:\n    command: sleep 1\n    secrets: [s]\nsecrets: { s: { file: ./gone } }\n",
            69,
            "gone, which is not on this machine",
        ),
        (
            "privileged",
            "services: \n  proxy: { command: sleep 1, privileged: true }\n",
            64,
            "a sandbox has no privileges",
        ),
    ] {
        let lab = Lab::new(
            setting,
            "refused",
            written(setting, &format!("foreign-{name}"), text)?,
        )?;
        let told = lab.refused(code, &UP).await?;
        ensure!(
            told.contains(says) && told.contains("compose.yaml:2:3"),
            "{name}: {told}"
        );
        ensure!(
            !lab.state().join("lock").exists(),
            "{name}: a lab was begun"
        );
    }
    Ok(())
}
