//! Ctrl-C while a lab does what it was asked for: it goes on, and whoever asked is told so.

use std::process::{Child, Stdio};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use test_support::eventually;

use crate::setting::{Lab, Setting, UP};
use crate::steps::Steps;
use crate::terminal::end_of;

/// Takes its time to stop: until it is allowed to.
const FILE: &str = r#"
services:
  slow:
    entrypoint: [/bin/sh, -c, "trap 'while [ ! -e /flags/go ]; do sleep 0.05; done; exit 0' TERM; while :; do sleep 0.05; done"]
    environment: { GREETING: hello }
    stop_grace_period: 60s
    volumes: ["./flags:/flags:ro"]
"#;

pub(crate) async fn tell(steps: &mut Steps, setting: &Setting) {
    steps
        .step(
            "Ctrl-C on up -d and on down leaves the lab at it, and says so",
            goes_on(setting),
        )
        .await;
}

async fn goes_on(setting: &Setting) -> Result<()> {
    let flags = setting.folder("leaving/flags")?;
    let file = flags.with_file_name("compose.yaml");
    std::fs::write(&file, FILE)?;
    let lab = Lab::new(setting, "leaving", file.clone())?;
    lab.expect(&UP).await?;
    let before = lab.instance("slow-1").await?;

    std::fs::write(&file, FILE.replace("hello", "good day"))?;
    let told = left(&lab, &UP, async || is_stopping(&lab).await).await?;
    ensure!(
        told.contains("the lab goes on with it: `netns-setup ps`"),
        "up -d: {told}"
    );
    std::fs::write(flags.join("go"), "")?;
    eventually("it has been started anew", || async {
        let now = lab.instance("slow-1").await?;
        ensure!(now.state == "running" && now.pid != before.pid, "{now:?}");
        Ok(())
    })
    .await?;
    let greeting = ["exec", "-T", "slow", "/bin/sh", "-c", "echo $GREETING"];
    ensure!(lab.expect(&greeting).await? == "good day\n", "as before");

    std::fs::remove_file(flags.join("go"))?;
    let told = left(&lab, &["down", "-t", "60"], async || {
        is_stopping(&lab).await
    })
    .await?;
    ensure!(
        told.contains("the instances of leaving go on stopping; `netns-setup down` again"),
        "down -t: {told}"
    );
    let told = left(&lab, &["down"], async || {
        let status = lab.status().await?;
        ensure!(status["stopping"] == true, "{status}");
        Ok(())
    })
    .await?;
    ensure!(
        told.contains("leaving goes on stopping; `netns-setup down` again waits"),
        "down: {told}"
    );
    std::fs::write(flags.join("go"), "")?;
    lab.expect(&["down"]).await?;
    lab.refused(1, &["ps"]).await.map(drop)
}

async fn is_stopping(lab: &Lab<'_>) -> Result<()> {
    let slow = lab.instance("slow-1").await?;
    ensure!(slow.state == "stopping", "{slow:?}");
    Ok(())
}

/// Interrupts a command once the lab has begun: what it said last.
async fn left(lab: &Lab<'_>, argv: &[&str], begun: impl AsyncFn() -> Result<()>) -> Result<String> {
    let mut command = lab.command(argv);
    let command = command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let waited = eventually("it has begun", || begun()).await;
    let ended = interrupt(&mut child).await;
    waited?;
    let code = ended?;
    let mut told = String::new();
    let mut errors = child.stderr.take().context("its standard error")?;
    std::io::Read::read_to_string(&mut errors, &mut told)?;
    ensure!(code == Some(130), "{argv:?}: {code:?}: {told}");
    Ok(told)
}

async fn interrupt(child: &mut Child) -> Result<Option<i32>> {
    kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGINT)?;
    Ok(end_of(child).await?.code())
}
