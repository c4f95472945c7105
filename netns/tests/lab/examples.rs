//! Compose files that are not ours: the two examples as they stand.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::setting::{Lab, Setting, UP, said};
use crate::steps::{Steps, now};

/// What takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(30);

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
            "guestbook: PostgreSQL, Valkey, two networks, a migration, a secret; its database stops with a client on it",
            guestbook(setting),
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
    stops_with_a_client(&lab).await?;
    lab.expect(&["down"]).await?;
    Ok(())
}

/// The file says nothing of a signal, so the database gets its image's: it ends its clients and leaves nothing to recover from.
async fn stops_with_a_client(lab: &Lab<'_>) -> Result<()> {
    let query = "select 'connected'; select pg_sleep(600)";
    let client = format!(
        "PGPASSWORD=$(cat $PASSWORD_FILE) exec psql -Atqc \"{}\"",
        query.replace("; ", "\" -c \"")
    );
    let mut exec =
        tokio::process::Command::from(lab.command(&["exec", "-T", "web-1", "sh", "-c", &client]));
    let mut exec = exec
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(exec.stdout.take().context("its output")?).lines();
    let line = tokio::time::timeout(PATIENCE, lines.next_line()).await??;
    ensure!(line.as_deref() == Some("connected"), "{line:?}");
    let log = ["logs", "--no-log-prefix", "db"];
    let before = lab.expect(&log).await?;
    lab.expect(&["stop", "db"]).await?;
    let client = tokio::time::timeout(PATIENCE, exec.wait_with_output()).await??;
    ensure!(!client.status.success(), "the client outlived its server");
    lab.expect(&["start", "db"]).await?;
    let after = lab.expect(&log).await?;
    let said = after
        .strip_prefix(&before)
        .context("the log was begun anew")?;
    ensure!(
        said.contains("received fast shutdown request")
            && said.contains("database system was shut down at")
            && !said.contains("was interrupted")
            && !said.contains("not properly shut down"),
        "it had to recover: {said}"
    );
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
