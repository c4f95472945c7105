//! The reader of standard output leaves: whatever follows ends at once, with nothing to say.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use test_support::eventually;
use tokio::process::Child;

use super::{PATIENCE, Reader};
use crate::instance::signal_process;
use crate::setting::{Lab, UP};

/// How long an end may take that awaits nothing.
const SOON: Duration = Duration::from_secs(5);

/// To be called when the lab is down; leaves it so.
pub(super) async fn tell(lab: &Lab<'_>) -> Result<()> {
    lab.expect(&UP).await?;
    for argv in [
        &["logs", "-f", "other"][..],
        &["logs", "-f", "--no-log-prefix", "other"],
        &["events", "--since", "1h", "other"],
        &["events", "--json", "--since", "1h", "other"],
        &["stats"],
    ] {
        let mut reader = Reader::of(lab, argv)?;
        reader.line().await?;
        ends(leave(reader)).await.with_context(|| argv.join(" "))?;
    }
    // Nobody tells when `wait` has begun to wait: one end after the other, until it has heard of one.
    let mut waiting = Reader::of(lab, &["wait", "web", "other"])?;
    eventually("wait tells of one that has ended", || async {
        signal_process(&lab.instance("web-1").await?, Signal::SIGKILL)
    })
    .await?;
    let hearing = async {
        while tokio::time::timeout(Duration::from_millis(300), waiting.line())
            .await
            .is_err()
        {
            if let Ok(web) = lab.instance("web-1").await
                && web.pid.is_some()
            {
                signal_process(&web, Signal::SIGKILL)?;
            }
        }
        anyhow::Ok(())
    };
    let heard = tokio::time::timeout(PATIENCE, hearing).await;
    heard.context("wait tells nothing")??;
    ends(leave(waiting)).await.context("wait")?;
    lab.expect(&["down"]).await.map(drop)
}

/// The same of a foreground `up`, whose lab ends with it; after Ctrl-C, which ends a reader like `tee` too, it does not
/// return before. To be called when the lab is down; leaves it so.
pub(super) async fn foreground(lab: &Lab<'_>) -> Result<()> {
    let mut up = Reader::of(lab, &["up"])?;
    up.hears("other-1", "I am other-1").await?;
    up.hears("web-1", "I am web-1").await?;
    ends(leave(up)).await?;
    eventually("its lab has ended", || lab.refused(1, &["ps"])).await?;

    let mut up = Reader::of(lab, &["up"])?;
    up.hears("other-1", "I am other-1").await?;
    up.hears("web-1", "I am web-1").await?;
    eventually("it is up", || async {
        let ready = lab.status().await?["ready_ms"].is_u64();
        ensure!(ready, "it is coming up");
        Ok(())
    })
    .await?;
    // What it has heard of the lab comes before what it shows next.
    signal_process(&lab.instance("web-1").await?, Signal::SIGKILL)?;
    up.hears("web-1", "I am web-1").await?;
    let pid = up.child.id().context("its number")?;
    kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGINT)?;
    ends(leave(up)).await?;
    lab.refused(1, &["ps"]).await.map(drop)
}

/// Closes the pipe.
fn leave(reader: Reader) -> Child {
    drop(reader.lines);
    reader.child
}

async fn ends(mut child: Child) -> Result<()> {
    let ended = tokio::time::timeout(SOON, child.wait()).await;
    let status = ended.context("it goes on without a reader")??;
    ensure!(status.code() == Some(0), "{status}");
    Ok(())
}
