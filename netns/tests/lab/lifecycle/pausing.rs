//! `pause` and `unpause`.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use netns_setup::lab::processes;
use nix::sys::signal::Signal;
use test_support::eventually;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::told;
use crate::setting::{Lab, Setting, UP};

/// Longer than it takes a check that fails to make `web` unhealthy: two of 1.5 seconds, 0.2 seconds apart.
const LONG: Duration = Duration::from_secs(4);

/// `web` answers each line, and its check wants an answer; `forks` has another child all the time.
const FILE: &str = r#"
services:
  web:
    entrypoint:
      - perl
      - -MIO::Socket::INET
      - -e
      - |
        my $$listener = IO::Socket::INET->new(LocalPort => 8080, Listen => 9, ReuseAddr => 1) or die;
        $$SIG{CHLD} = 'IGNORE';
        $$SIG{TERM} = sub { exit 0 };
        while (1) {
          my $$client = $$listener->accept or next;
          next if fork;
          $$client->autoflush(1);
          print $$client "heard $$_" while <$$client>;
          exit 0;
        }
    healthcheck:
      test: [CMD, perl, -MIO::Socket::INET, -e, "my $$s = IO::Socket::INET->new('127.0.0.1:8080') or exit 1; print $$s qq(x\n); exit !<$$s>"]
      interval: 200ms
      timeout: 1500ms
      retries: 2
    ports: ["127.0.0.1:${HTTP_PORT}:8080"]
  forks:
    entrypoint: [/bin/sh, -c, "trap 'exit 7' TERM; while :; do /bin/true; done"]
    stop_grace_period: 30s
networks:
  default: { ipam: { config: [ { subnet: 10.77.3.0/24 } ] } }
"#;

pub(super) async fn pauses(setting: &Setting) -> Result<()> {
    let file = setting.folder("pausing")?.join("compose.yaml");
    std::fs::write(&file, FILE)?;
    let lab = Lab::new(setting, "pausing", file)?;
    lab.expect(&UP).await?;
    let stream = TcpStream::connect(("127.0.0.1", lab.http_port)).await?;
    let mut stream = BufReader::new(stream);
    let mut heard = String::new();
    stream.write_all(b"one\n").await?;
    stream.read_line(&mut heard).await?;
    ensure!(heard == "heard one\n", "{heard:?}");

    let said = told(&lab, &["pause"]).await?;
    ensure!(said.matches(" paused ").count() == 2, "{said}");
    ensure!(
        lab.expect(&["ps", "-q", "--status", "paused"]).await? == "forks-1\nweb-1\n",
        "ps --status paused"
    );
    for name in ["web-1", "forks-1"] {
        let pid = lab.instance(name).await?.pid.context("it runs")?;
        let namespace = processes::namespace(pid).context("its PID namespace")?;
        let members = processes::by_namespace().remove(&namespace);
        for member in members.context("its processes")? {
            // Its lines are not of one moment.
            eventually("it is halted", || async {
                let status = std::fs::read_to_string(format!("/proc/{member}/status"))?;
                ensure!(is_halted(&status), "{name} is not halted: {status}");
                Ok(())
            })
            .await?;
        }
    }
    stream.write_all(b"two\n").await?;
    heard.clear();
    let answer = tokio::time::timeout(LONG, stream.read_line(&mut heard)).await;
    ensure!(answer.is_err(), "it answers: {heard:?}");
    let refused = lab.refused(1, &["exec", "web", "true"]).await?;
    ensure!(refused.contains("unpause web-1"), "{refused}");
    ensure!(
        told(&lab, &["pause", "web"])
            .await?
            .contains("nothing was changed")
    );

    let said = told(&lab, &["unpause"]).await?;
    ensure!(
        said.contains(" healthy ") && said.contains(" running "),
        "{said}"
    );
    let answer = tokio::time::timeout(LONG, stream.read_line(&mut heard));
    answer.await.context("it does not go on")??;
    ensure!(heard == "heard two\n", "{heard:?}");
    // Its check goes on, and has never failed.
    lab.expect(&["exec", "web", "true"]).await?;
    let past = ["events", "--since", "1h", "--until", "0s", "web"];
    let past = lab.expect(&past).await?;
    let times = |action: &str| past.matches(&format!(" {action} web-1")).count();
    ensure!(
        times("pause") == 1 && times("unpause") == 1 && times("health_status: healthy") == 1,
        "{past}"
    );
    ensure!(times("health_status: unhealthy") == 0, "{past}");

    // What is paused hears that it is to stop.
    told(&lab, &["pause"]).await?;
    told(&lab, &["stop", "forks"]).await?;
    let status = lab.status().await?;
    ensure!(
        status["instances"][0]["exit_code"] == 7 && status["instances"][1]["state"] == "paused",
        "{status}"
    );
    lab.expect(&["down", "--volumes"]).await.map(drop)
}

/// Halted; or halted as soon as it comes out of the kernel, where it may wait for a child that is (`vfork(2)`); or ended.
fn is_halted(status: &str) -> bool {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim()
    };
    let pending = u64::from_str_radix(field("ShdPnd:"), 16).unwrap_or(0);
    field("State:").starts_with(['T', 'Z']) || pending & (1 << (Signal::SIGSTOP as u32 - 1)) != 0
}
