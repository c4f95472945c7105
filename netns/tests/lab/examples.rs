//! Compose files that are not ours: the two examples as they stand, and small files with what others write.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::setting::{Lab, Setting, UP, said};
use crate::steps::{Steps, now};

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
    let began = now();
    steps
        .step(
            "visits: a web program and Redis, unchanged",
            visits(setting),
        )
        .await;
    steps
        .step(
            "guestbook: PostgreSQL, Valkey, two networks, a migration, a secret",
            guestbook(setting),
        )
        .await;
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
    steps.figure("examples", format!("{} ms", began.elapsed().as_millis()));
}

async fn text(lab: &Lab<'_>, path: &str) -> Result<String> {
    let answer = reqwest::get(format!("{}{path}", lab.url())).await?;
    Ok(answer.error_for_status()?.text().await?)
}

async fn visits(setting: &Setting) -> Result<()> {
    let lab = Lab::new(setting, "visits", setting.example("visits"))?;
    let printed = lab.expect(&["config"]).await?;
    ensure!(
        printed.contains("#   world -> web:8000\n")
            && printed.contains("redis, web reach each other on every port (network default)"),
        "config does not tell the rule: {printed}"
    );
    // As in Compose, to wait is not to stay.
    lab.expect(&["up", "--wait"]).await?;
    for count in 1..=2 {
        let seen = text(&lab, "/page").await?;
        ensure!(seen == format!("visit {count} of /page\n"), "{seen}");
    }
    // Compose's own rule: mates in a network reach each other, whoever dials.
    ensure!(
        reaches(&lab, "redis-1", "web:8000").await? && reaches(&lab, "web-1", "redis:6379").await?,
        "mates do not reach each other"
    );
    lab.expect(&["down"]).await?;
    lab.expect(&UP).await?;
    let seen = text(&lab, "/page").await?;
    ensure!(seen == "visit 3 of /page\n", "the volume was lost: {seen}");
    lab.expect(&["down"]).await?;
    Ok(())
}

async fn guestbook(setting: &Setting) -> Result<()> {
    let lab = Lab::new(setting, "guestbook", setting.example("guestbook"))?;
    lab.expect(&UP).await?;
    let entry = reqwest::Client::new()
        .post(format!("{}/entries", lab.url()))
        .body("it's me: $$(whoami)")
        .send()
        .await?;
    ensure!(entry.text().await? == "entry 1\n", "no entry was made");
    let entries = text(&lab, "/entries").await?;
    ensure!(
        entries == "1|it's me: $$(whoami)\nasked for 1 times\n",
        "{entries}"
    );
    let migrated = lab.instance("migrate-1").await?;
    ensure!(migrated.state == "completed", "{migrated:?}");
    for (from, to, open) in [
        ("web-1", "db:5432", true),
        ("web-1", "cache:6379", true),
        ("db-1", "cache:6379", false),
        ("cache-1", "db:5432", false),
        ("db-1", "web:8000", false),
    ] {
        ensure!(
            reaches(&lab, from, to).await? == open,
            "{from} -> {to} should be {}",
            if open { "open" } else { "closed" }
        );
    }
    let secret = lab
        .exec("web-1", &["cat", "/run/secrets/db-password"])
        .await?;
    ensure!(secret.status.success(), "{}", said(&secret));
    let secret = lab
        .exec("cache-1", &["cat", "/run/secrets/db-password"])
        .await?;
    ensure!(!secret.status.success(), "the cache sees the password");
    lab.expect(&["down"]).await?;
    Ok(())
}

/// Whether a connection opens, tried by Perl inside the instance.
async fn reaches(lab: &Lab<'_>, from: &str, to: &str) -> Result<bool> {
    let dial = "exit(IO::Socket::INET->new(PeerAddr => shift, Timeout => 3) ? 0 : 1)";
    let output = lab
        .exec(from, &["perl", "-MIO::Socket::INET", "-e", dial, to])
        .await?;
    Ok(output.status.success())
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
