//! Those that hang: clients of the control socket, a service, the lab itself.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use netns_setup::lab::protocol::MAX_REQUEST;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use test_support::eventually;

use super::answers;
use crate::setting::{Lab, said};
use crate::steps::now;
use crate::terminal::end_of;

const CLIENTS: usize = 200;

fn open_files(pid: i32) -> Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

pub(super) async fn clients(lab: &Lab<'_>) -> Result<()> {
    let first = lab.first_process().await?;
    let before = open_files(first)?;
    let dial = || UnixStream::connect(lab.state().join("control.sock"));
    let silent = (0..CLIENTS)
        .map(|_| dial())
        .collect::<std::io::Result<Vec<_>>>()?;
    answers(lab).await.context("beside silent clients")?;
    let mut nonsense = dial()?;
    nonsense.write_all(b"GET / HTTP/1.1\r\n\r\n")?;
    let mut said = String::new();
    BufReader::new(nonsense).read_line(&mut said)?;
    ensure!(
        said.contains("not a request"),
        "nonsense is answered: {said}"
    );
    let mut endless = dial()?;
    let piece = vec![b'x'; MAX_REQUEST / 4];
    let refused = (0..40).find_map(|_| endless.write_all(&piece).err());
    let refused = refused.context("ten requests' length without an end was taken in")?;
    let closed = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
    ensure!(closed.contains(&refused.kind()), "{refused}");
    // They ask, and do not listen.
    let mut deaf = Vec::new();
    for _ in 0..CLIENTS {
        let mut stream = dial()?;
        stream.write_all(b"{\"v\":1,\"request\":{\"do\":\"status\"}}\n")?;
        deaf.push(stream);
    }
    answers(lab)
        .await
        .context("beside clients that do not listen")?;
    drop(deaf);
    for mut stream in silent {
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let read = stream.read(&mut [0]).context("a silent client is kept")?;
        ensure!(read == 0, "a silent client was answered");
    }
    eventually("the lab has closed what it opened for them", || async {
        let now = open_files(first)?;
        ensure!(now <= before, "{before} before, {now} now");
        Ok(())
    })
    .await
}

pub(super) async fn hanging(lab: &Lab<'_>, flags: &Path) -> Result<()> {
    std::fs::remove_file(flags.join("well"))?;
    eventually("deaf is unhealthy", || async {
        answers(lab).await?;
        let deaf = lab.instance("deaf-1").await?;
        ensure!(deaf.state == "unhealthy", "{deaf:?}");
        Ok(())
    })
    .await?;
    let echo = lab.exec("writer", &["/bin/echo", "here"]).await?;
    ensure!(said(&echo).contains("here"), "exec: {}", said(&echo));
    std::fs::write(flags.join("well"), "")?;
    eventually("deaf is healthy again", || async {
        let deaf = lab.instance("deaf-1").await?;
        ensure!(deaf.state == "healthy", "{deaf:?}");
        Ok(())
    })
    .await
}

pub(super) async fn stopped(lab: &Lab<'_>) -> Result<()> {
    let first = Pid::from_raw(lab.first_process().await?);
    kill(first, Signal::SIGSTOP)?;
    // Its streams are on their way to the lab, which holds them for as long as it does not take them in: no pipes, then.
    let errors = lab.state().join("errors");
    let mut exec = lab.command(&["exec", "-T", "writer", "/bin/true"]);
    exec.stdout(Stdio::null())
        .stderr(std::fs::File::create(&errors)?);
    let mut exec = exec.spawn()?;
    let tried = tokio::join!(lab.refused(1, &["ps"]), lab.refused(1, &["down"]));
    let ended = end_of(&mut exec).await;
    kill(first, Signal::SIGCONT)?;
    ensure!(ended?.code() == Some(1), "exec");
    for said in [tried.0?, tried.1?, std::fs::read_to_string(errors)?] {
        ensure!(
            said.contains("does not answer") && said.contains("help"),
            "{said}"
        );
    }
    answers(lab).await.context("after SIGCONT")
}

/// What heeds no signal is killed by `down -t` long before its own grace period ends.
pub(super) async fn hurried(lab: &Lab<'_>) -> Result<()> {
    const GRACE: Duration = Duration::from_secs(60);
    let seconds = format!("{}s", GRACE.as_secs());
    lab.up_with("GRACE", &seconds, &[]).await?;
    let began = now();
    let told = said(&lab.run(&["down", "-t", "0.2"]).await?);
    let took = began.elapsed();
    ensure!(took < GRACE / 3, "down took {took:?}: {told}");
    ensure!(
        told.contains("deaf-1") && told.contains("is down"),
        "{told}"
    );
    Ok(())
}
