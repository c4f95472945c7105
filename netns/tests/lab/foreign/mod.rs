//! What files of others say: small files, each with something that Docker knows, run or refused or told.

mod filled;
mod profiles;

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
            "what runs otherwise than on Docker is said where it stands, and nothing else is",
            differs(setting),
        )
        .await;
    steps
        .step(
            "what Docker's files say in other words holds",
            other_words(setting),
        )
        .await;
    steps
        .step(
            "a database is healthy when it has been filled, not while it is",
            filled::healthy(setting),
        )
        .await;
    steps
        .step(
            "a service that is named needs no profile, and is left alone by who does not name it",
            profiles::turn_on(setting),
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

/// Keys that Docker heeds and a lab does not: each row with what is said of it, and nothing where nothing differs.
async fn differs(setting: &Setting) -> Result<()> {
    for (key, says) in [
        ("user: root", "and nothing is root in a sandbox"),
        ("user: \"1000:1000\"", "is its one user, 65532"),
        ("user: 65532", ""),
        ("init: true", "here the program itself is PID 1"),
        ("init: false", ""),
        ("cpuset: \"0\"", "may run on every processor"),
        ("memswap_limit: 1g", "as much as its limit of memory"),
        (
            "deploy: { restart_policy: { condition: any, max_attempts: 3 } }",
            "started again without end",
        ),
        (
            "deploy: { restart_policy: { condition: any, delay: 5s } }",
            "",
        ),
        ("cpu_quota: 50000", ""),
    ] {
        let text = format!("services:\n  a:\n    command: sleep 1\n    {key}\n");
        let lab = Lab::new(setting, "differs", written(setting, "differs", &text)?)?;
        let config = lab.run(&["config"]).await?;
        ensure!(config.status.success(), "{key}: {}", said(&config));
        let told = String::from_utf8_lossy(&config.stderr);
        if says.is_empty() {
            ensure!(told.is_empty(), "{key}: {told}");
        } else {
            ensure!(
                told.contains("compose.yaml:4:")
                    && told.contains(says)
                    && told.lines().count() == 1,
                "{key}: {told}"
            );
        }
    }
    Ok(())
}

/// Limits and restarts as older files and Swarm's write them.
const OTHER_WORDS: &str = r#"
services:
  fails:
    command: ["sh", "-c", "id -u; exit 3"]
    restart: always
    user: root
    deploy: { restart_policy: { condition: on-failure, max_attempts: 2 } }
  half:
    command: sleep 3600
    cpu_quota: 50000
    stop_grace_period: 100ms
"#;

async fn other_words(setting: &Setting) -> Result<()> {
    let file = written(setting, "other-words", OTHER_WORDS)?;
    let lab = Lab::new(setting, "other-words", file)?;
    let printed = lab.expect(&["config"]).await?;
    ensure!(
        printed.contains("cpus: \"0.5\"") && printed.contains("restart: on-failure:2"),
        "{printed}"
    );
    // It gives up on it; the last logs stay.
    let told = lab.refused(1, &UP).await?;
    ensure!(told.contains("fails-1"), "{told}");
    let log = lab.expect(&["logs", "--no-log-prefix", "fails"]).await?;
    ensure!(
        log == "65532\n".repeat(3),
        "not started again twice, or not as 65532: {log}"
    );
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
        (
            "device",
            "volumes: { v: { driver_opts: {\n  device: /srv/v, type: none, o: bind } } }\nservices: { a: { command: sleep 1, volumes: [v:/v] } }\n",
            64,
            "volumes: [\"/srv/v:/TARGET\"]",
        ),
        (
            "subpath",
            "services: { a: { command: sleep 1, volumes: [{ type: volume, target: /v, volume: {\n  subpath: x } }] } }\n",
            64,
            "mount the whole volume",
        ),
        (
            "limits",
            "services: { a: { command: sleep 1, cpus: 1, cpu_quota:\n  50000 } }\n",
            64,
            "processors are limited twice",
        ),
    ] {
        let lab = Lab::new(
            setting,
            "refused",
            written(setting, &format!("foreign-{name}"), text)?,
        )?;
        let told = lab.refused(code, &UP).await?;
        ensure!(
            told.contains(says) && told.contains("compose.yaml:2:"),
            "{name}: {told}"
        );
        ensure!(
            !lab.state().join("lock").exists(),
            "{name}: a lab was begun"
        );
    }
    Ok(())
}
