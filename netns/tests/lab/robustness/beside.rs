//! What is beside a lab: another of the same name, and the terminal that it was started from.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::pty::openpty;

use super::answers;
use crate::holdings::{Holdings, are_apart};
use crate::instance::leads_a_session_without_terminal;
use crate::residue::Snapshot;
use crate::setting::{Lab, UP, said};
use crate::terminal::{end_of, session};

pub(super) async fn twins(lab: &Lab<'_>, folder: &Path) -> Result<()> {
    let base = folder.join("twin");
    std::fs::create_dir_all(&base)?;
    let twin = lab.twin(&base)?;
    twin.expect(&UP).await?;
    let (ours, theirs) = (lab.instances().await?, twin.instances().await?);
    for (one, other) in ours.iter().zip(&theirs) {
        ensure!(one.address == other.address, "{one:?}, {other:?}");
        ensure!(one.pid != other.pid, "{one:?}, {other:?}");
    }
    for (which, word) in [(lab, "mine"), (&twin, "theirs")] {
        let script = format!("echo {word} >/data/word; cat /data/word");
        let told = said(&which.exec("writer", &["/bin/sh", "-c", &script]).await?);
        ensure!(told.contains(word), "{told}");
    }
    let read = said(&lab.exec("writer", &["/bin/cat", "/data/word"]).await?);
    ensure!(read.contains("mine"), "volumes are shared: {read}");
    let links = ["ip", "-o", "link"];
    let (mine, other) = (
        said(&lab.exec("router", &links).await?),
        said(&twin.exec("router", &links).await?),
    );
    // An instance's end has the same name and address in both: two of them would be the other's. (Only the first, as root, has an uplink.)
    for links in [&mine, &other] {
        let ends = links.matches(" v-writer-1@").count();
        ensure!(ends == 1, "{mine}\n{other}");
    }
    let this = i32::try_from(std::process::id())?;
    are_apart(&[
        this,
        lab.first_process().await?,
        twin.first_process().await?,
    ])?;
    let holdings = Holdings::of(twin.first_process().await?)?;
    twin.expect(&["down", "--volumes"]).await?;
    holdings.are_gone().await?;
    ensure!(lab.instances().await? == ours, "the other's end was felt");
    let read = said(&lab.exec("writer", &["/bin/cat", "/data/word"]).await?);
    ensure!(
        read.contains("mine"),
        "the other's `down --volumes` was felt: {read}"
    );
    Ok(())
}

pub(super) async fn terminals(lab: &Lab<'_>) -> Result<()> {
    let before = Snapshot::take()?;
    hung_up(lab, &["up", "-d"], "Everything is up")?;
    answers(lab).await.context("its terminal is gone")?;
    let first = lab.first_process().await?;
    leads_a_session_without_terminal(&std::fs::read_to_string(format!("/proc/{first}/stat"))?)?;
    let of_lab = Holdings::of(first)?;
    lab.expect(&["down"]).await?;
    of_lab.are_gone().await?;

    let mut launcher = hung_up(lab, &["up"], "Ctrl-C takes it down")?;
    end_of(&mut launcher).await?;
    before
        .is_all_there_is(&Default::default(), &lab.state())
        .await
}

/// Runs netns-setup on a terminal of its own until that shows `text`, and closes the terminal.
fn hung_up(lab: &Lab<'_>, arguments: &[&str], text: &str) -> Result<std::process::Child> {
    let pair = openpty(None, None)?;
    // Held by this test alone, so that it closes.
    fcntl(&pair.master, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    let mut session = session(&lab.command(arguments));
    session
        .stdin(Stdio::from(pair.slave.try_clone()?))
        .stdout(Stdio::from(pair.slave.try_clone()?))
        .stderr(Stdio::from(pair.slave));
    let mut child = session.spawn()?;
    drop(session);
    let shown = BufReader::new(std::fs::File::from(pair.master)).lines();
    let shows = shown.map_while(Result::ok).any(|line| line.contains(text));
    if arguments.contains(&"-d") {
        child.wait()?;
    }
    ensure!(shows, "its terminal does not show {text:?}");
    Ok(child)
}
