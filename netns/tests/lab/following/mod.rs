//! `logs` and a foreground `up`: who comes while they are read is shown, who is no more is not taken for one who runs; and nobody
//! goes on without a reader.

mod gone;
mod times;

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use crate::setting::{Lab, Setting, UP};
use crate::steps::Steps;

/// Says who it is, once.
const FILE: &str = r#"
services:
  web:
    entrypoint: [/bin/sh, -c, "echo I am $$HOSTNAME; exec sleep 3600"]
    stop_signal: SIGKILL
    restart: always
    networks: [only]
  other:
    entrypoint: [/bin/sh, -c, "trap 'sleep 0.5; exit 0' TERM; echo I am $$HOSTNAME; while :; do sleep 0.1; done"]
    networks: [only]
networks:
  only: { ipam: { config: [ { subnet: "${FRONTEND_PREFIX}.0/24" } ] } }
"#;
/// One completes before all is up; one runs by then, and fails when its folder says so.
const SPENT: &str = r#"
services:
  first:
    entrypoint: [/bin/sh, -c, "echo done"]
    networks: [only]
  last:
    entrypoint: [/bin/sh, -c, "until [ -e /flags/up ]; do sleep 0.1; done; echo done; exit 3"]
    volumes: ["./flags:/flags:ro"]
    networks: [only]
networks:
  only: { ipam: { config: [ { subnet: "${FRONTEND_PREFIX}.0/24" } ] } }
"#;
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn tell(steps: &mut Steps, setting: &Setting) {
    let prepared = || {
        let file = setting.folder("following")?.join("compose.yaml");
        std::fs::write(&file, FILE)?;
        Lab::new(setting, "following", file)
    };
    let lab = match prepared() {
        Ok(lab) => lab,
        Err(error) => return steps.fail("a small Compose file", &error),
    };
    steps
        .step(
            "logs of a lab that never was says how to have some",
            never(&lab),
        )
        .await;
    steps
        .step(
            "logs -f and a foreground up show instances that come later",
            newcomers(&lab),
        )
        .await;
    steps
        .step(
            "a foreground up ends with the last that runs",
            spent(setting),
        )
        .await;
    steps
        .step(
            "logs shows those there are; one that is no more by its own name, all when the lab is down",
            the_dead(&lab),
        )
        .await;
    steps
        .step(
            "logs -f, events, stats and wait end when nobody reads them any more",
            gone::tell(&lab),
        )
        .await;
    steps
        .step(
            "so does a foreground up, with its lab; after Ctrl-C it waits for the lab's end",
            gone::foreground(&lab),
        )
        .await;
    drop(lab);
    times::tell(steps, setting).await;
}

async fn never(lab: &Lab<'_>) -> Result<()> {
    let told = lab.refused(1, &["logs", "web"]).await?;
    ensure!(
        told.contains("nothing named web has written a log, nor has anything else of following")
            && told.contains("`netns-setup up -d`"),
        "{told}"
    );
    Ok(())
}

async fn newcomers(lab: &Lab<'_>) -> Result<()> {
    let mut up = Reader::of(lab, &["up"])?;
    up.hears("web-1", "I am web-1").await?;
    test_support::eventually("it is up", || async {
        let ready = lab.status().await?["ready_ms"].is_u64();
        ensure!(ready, "it is coming up");
        Ok(())
    })
    .await?;
    let mut logs = Reader::of(lab, &["logs", "-f", "web"])?;
    logs.hears("web-1", "I am web-1").await?;
    lab.expect(&["scale", "web=3", "other=2"]).await?;
    for name in ["web-2", "web-3"] {
        logs.hears(name, &format!("I am {name}")).await?;
        up.hears(name, &format!("I am {name}")).await?;
    }
    up.hears("other-2", "I am other-2").await?;
    // Started anew it is another life of the same log; whoever is not asked for is not shown.
    lab.expect(&["restart", "other", "web-2"]).await?;
    logs.hears("web-2", "I am web-2").await?;
    let others = logs.heard.iter().filter(|line| line.starts_with("other"));
    ensure!(others.count() == 0, "{:?}", logs.heard);

    lab.expect(&["scale", "web=1", "other=1"]).await?;
    lab.expect(&["down"]).await?;
    for reader in [&mut up, &mut logs] {
        let end = tokio::time::timeout(PATIENCE, reader.child.wait()).await;
        end.context("it goes on after the lab's end")??;
    }
    Ok(())
}

/// As with Compose, `up` ends with the last of what it shows, and not with the first.
async fn spent(setting: &Setting) -> Result<()> {
    let flags = setting.folder("spent/flags")?;
    let file = flags.with_file_name("compose.yaml");
    std::fs::write(&file, SPENT)?;
    let lab = Lab::new(setting, "spent", file)?;
    let mut up = Reader::of(&lab, &["up"])?;
    up.hears("first-1", "done").await?;
    test_support::eventually("it is up", || async {
        let ready = lab.status().await?["ready_ms"].is_u64();
        ensure!(ready, "it is coming up");
        Ok(())
    })
    .await?;
    std::fs::write(flags.join("up"), "")?;
    up.hears("last-1", "done").await?;
    let end = tokio::time::timeout(PATIENCE, up.child.wait()).await;
    let end = end.context("it goes on after all have ended")??;
    ensure!(end.code() == Some(0), "up: {end}");
    lab.refused(1, &["ps"]).await.map(drop)
}

async fn the_dead(lab: &Lab<'_>) -> Result<()> {
    let all = ["other-1", "other-2", "web-1", "web-2", "web-3"];
    ensure!(
        names(&lab.expect(&["logs"]).await?) == all,
        "of one that is down"
    );
    lab.expect(&UP).await?;
    for (argv, shown) in [
        (&["logs"][..], &["other-1", "web-1"][..]),
        (&["logs", "web"], &["web-1"]),
        (&["logs", "web-3"], &["web-3"]),
    ] {
        let told = lab.expect(argv).await?;
        ensure!(names(&told) == shown, "{argv:?}: {told}");
    }
    let told = lab.refused(1, &["logs", "nosuch"]).await?;
    ensure!(
        told.trim_end().ends_with("there are: other-1, web-1"),
        "{told}"
    );
    // The file of its last life lies there; what comes is its new one, from the beginning, and nothing else.
    let mut logs = Reader::of(lab, &["logs", "-f", "web"])?;
    logs.hears("web-1", "I am web-1").await?;
    lab.expect(&["scale", "web=2"]).await?;
    logs.hears("web-2", "I am web-2").await?;
    ensure!(logs.heard.len() == 2, "{:?}", logs.heard);
    lab.expect(&["down"]).await.map(drop)
}

/// Who has a line in it, once each.
fn names(told: &str) -> Vec<&str> {
    let names = told
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let mut names: Vec<&str> = names.collect();
    names.dedup();
    names
}

/// Somebody who reads what a command says on standard output.
struct Reader {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    heard: Vec<String>,
    /// Those that nobody has waited for yet.
    unclaimed: Vec<String>,
}

impl Reader {
    fn of(lab: &Lab<'_>, argv: &[&str]) -> Result<Self> {
        let mut command = tokio::process::Command::from(lab.command(argv));
        let command = command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.kill_on_drop(true).spawn()?;
        let output = child.stdout.take().context("its output")?;
        Ok(Self {
            child,
            lines: BufReader::new(output).lines(),
            heard: Vec::new(),
            unclaimed: Vec::new(),
        })
    }

    /// The next line, whoever says it.
    async fn line(&mut self) -> Result<String> {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        line.context("nothing comes")??.context("it ended")
    }

    /// Waits until this instance has said this, once more than it was waited for before.
    async fn hears(&mut self, name: &str, words: &str) -> Result<()> {
        let said = |line: &String| {
            let parts = line.split_once('|');
            parts.is_some_and(|(head, rest)| head.trim() == name && rest.trim() == words)
        };
        let hearing = async {
            loop {
                if let Some(place) = self.unclaimed.iter().position(said) {
                    self.unclaimed.remove(place);
                    return Ok(());
                }
                let line = self.lines.next_line().await?.context("it ended")?;
                self.heard.push(line.clone());
                self.unclaimed.push(line);
            }
        };
        let heard = tokio::time::timeout(PATIENCE, hearing).await;
        heard
            .unwrap_or_else(|_| Err(anyhow::anyhow!("nothing more comes")))
            .with_context(|| format!("{name} | {words} in {:?}", self.heard))
    }
}
