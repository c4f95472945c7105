//! Several who bring up, or change, one lab at once.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::FILE;
use crate::setting::{Lab, UP, said};

/// The lab is down, and is so afterwards.
pub(super) async fn at_once(lab: &Lab<'_>, file: &Path) -> Result<()> {
    for count in [2, 3, 2, 3] {
        let told = all_succeed(lab, &UP, count).await?;
        one_did(&told, "is up already; nothing was changed")?;
        let names = lab.expect(&["ps", "-q", "loner"]).await?;
        ensure!(names == "loner-1\n", "{names:?}");
        let first = lab.first_process().await?;
        let folder = lab.state();
        for descriptor in std::fs::read_dir(format!("/proc/{first}/fd"))? {
            let to = std::fs::read_link(descriptor?.path()).unwrap_or_default(); // closed just now
            ensure!(to != folder, "the lab holds what its launcher waited for");
        }
        lab.expect(&["down"]).await?;
    }
    let run = ["run", "-T", "--entrypoint", "/bin/true", "web"];
    all_succeed(lab, &run, 2).await?;
    lab.expect(&UP).await?;
    let door = "
  door:
    entrypoint: [/bin/sleep, \"3600\"]
    ports: [\"127.0.0.1:${GATEWAY_PORT}:8080\"]
    stop_grace_period: 100ms
    networks: [back]
x-flows:
  - world -> door:8080";
    std::fs::write(file, FILE.replace("\nx-flows:", door))?;
    let told = all_succeed(lab, &UP, 3).await?;
    one_did(&told, "is up already; nothing was changed")?;
    std::fs::write(file, FILE)?;
    lab.expect(&["down"]).await.map(drop)
}

/// Who waits says so, and Ctrl-C ends it; who held it has ended, and nothing of it is left.
pub(super) async fn waits(lab: &Lab<'_>) -> Result<()> {
    let folder = File::open(lab.state())?;
    let turn = Flock::lock(folder, FlockArg::LockExclusive).map_err(|(_, errno)| errno)?;
    for interrupted in [true, false] {
        let mut command = tokio::process::Command::from(lab.command(&UP));
        let mut up = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stderr = up.stderr.take().context("its standard error")?;
        let mut told = BufReader::new(stderr).lines();
        let line = told.next_line().await?.unwrap_or_default();
        ensure!(line.contains("from elsewhere; waiting"), "{line}");
        if interrupted {
            let pid = up.id().context("its number")?;
            kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGINT)?;
            let ended = up.wait().await?;
            ensure!(ended.code() == Some(130), "{ended}");
        } else {
            up.kill().await?;
        }
    }
    drop(turn);
    lab.expect(&UP).await?;
    lab.expect(&["down"]).await.map(drop)
}

/// Runs the same so many times at once: what each said.
async fn all_succeed(lab: &Lab<'_>, arguments: &[&str], count: usize) -> Result<Vec<String>> {
    let outputs =
        futures_util::future::try_join_all((0..count).map(|_| lab.run(arguments))).await?;
    let told = outputs.iter().map(said).collect::<Vec<_>>();
    for output in &outputs {
        ensure!(output.status.success(), "{}: {told:#?}", output.status);
    }
    Ok(told)
}

/// All but one found it done.
fn one_did(told: &[String], done: &str) -> Result<()> {
    let found = told.iter().filter(|told| told.contains(done)).count();
    ensure!(found + 1 == told.len(), "{told:#?}");
    Ok(())
}
