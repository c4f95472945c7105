//! What hangs, floods, falls silent or runs full beside a lab, or in it: the lab goes on, and answers.

mod beside;
mod room;
mod silence;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::setting::{Lab, Setting, UP};
use crate::steps::{Steps, now};

/// `deaf` heeds no stop signal, and its health check hangs unless its folder says that it is well; `writer` writes a line now and then, or as
/// fast as it can.
const FILE: &str = r#"
services:
  deaf:
    entrypoint: [/bin/sh, -c, "trap : TERM INT; while :; do sleep 0.2; done"]
    healthcheck: { test: [CMD-SHELL, "[ -e /flags/well ] || sleep 3600"], interval: 1s, timeout: 1s, retries: 1 }
    stop_grace_period: ${GRACE:-300ms}
    volumes: ["./flags:/flags:ro"]
    networks: [only]
  writer:
    entrypoint:
      - /usr/bin/perl
      - -e
      - |
        $$SIG{TERM} = sub { exit 0 };
        while (1) {
          if (-e "/flags/fast") { syswrite STDOUT, ("x" x 99 . "\n") x 1000 for 1..100 }
          else { syswrite STDOUT, "line at " . time . "\n"; select undef, undef, undef, 0.05 }
        }
    volumes: ["./flags:/flags:ro", "data:/data"]
    stop_grace_period: 1s
    networks: [only]
networks:
  only:
    ipam: { config: [ { subnet: "${FRONTEND_PREFIX}.0/24" } ] }
volumes: { data: }
"#;

/// A lab that answers, answers within this, however loaded the machine is.
const AT_ONCE: Duration = Duration::from_secs(4);

pub(crate) async fn tell(steps: &mut Steps, setting: &Setting) {
    let folder = match folder(setting) {
        Ok(folder) => folder,
        Err(error) => return steps.fail("a small Compose file", &error),
    };
    let file = folder.join("compose.yaml");
    let lab = match Lab::new(setting, "robust", file) {
        Ok(lab) => lab,
        Err(error) => return steps.fail("a lab", &error),
    };
    let up = async { lab.expect(&UP).await };
    if steps.step("a small lab comes up", up).await.is_none() {
        return;
    }
    let flags = folder.join("flags");
    steps
        .step(
            "clients that are silent, talk nonsense or do not listen keep nobody from being answered",
            silence::clients(&lab),
        )
        .await;
    steps
        .step(
            "a health check that hangs makes one instance unhealthy and nothing else",
            silence::hanging(&lab, &flags),
        )
        .await;
    if let Some(figure) = steps
        .step(
            "logs keep their size under a fast writer",
            room::flood(&lab, &flags),
        )
        .await
    {
        steps.figure("a log under a fast writer", figure);
    }
    steps
        .step(
            "two labs of one name, with the same addresses, do not see each other",
            beside::twins(&lab, &folder),
        )
        .await;
    steps
        .step(
            "a lab that is stopped (SIGSTOP) is given up on",
            silence::stopped(&lab),
        )
        .await;
    steps
        .step(
            "a service that heeds no signal is killed by `down`",
            async { lab.expect(&["down"]).await },
        )
        .await;
    steps
        .step(
            "`down -t` gives no more time than it says",
            silence::hurried(&lab),
        )
        .await;
    steps
        .step(
            "a lab outlives the terminal it was started from, one in the foreground ends with it",
            beside::terminals(&lab),
        )
        .await;
    steps
        .step(
            "a full disk costs log lines, which the log says, and nothing else",
            room::full(&lab, &folder),
        )
        .await;
}

fn folder(setting: &Setting) -> Result<PathBuf> {
    let folder = setting.folder("robust")?;
    setting.folder("robust/flags")?;
    std::fs::write(folder.join("compose.yaml"), FILE)?;
    std::fs::write(folder.join("flags/well"), "")?;
    Ok(folder)
}

/// Asks for the status and insists on an answer at once.
async fn answers(lab: &Lab<'_>) -> Result<()> {
    let began = now();
    lab.status().await?;
    ensure!(began.elapsed() < AT_ONCE, "ps took {:?}", began.elapsed());
    Ok(())
}
