//! The groups go with the lab, however it ends.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use test_support::eventually;

use crate::groups::{guardian, own_groups};
use crate::instance::{kill_process, leads_a_session_without_terminal};
use crate::setting::{Lab, UP};

pub(super) async fn guardian_is_alone(lab: &Lab<'_>) -> Result<()> {
    let guardian = guardian(&lab.state())?.context("no guardian")?;
    let folder = PathBuf::from(format!("/proc/{guardian}"));
    let mut holds = Vec::new();
    for entry in fs::read_dir(folder.join("fd"))? {
        holds.push(fs::read_link(entry?.path())?.display().to_string());
    }
    let log = lab.state().join("logs/netns-setup.log");
    let is_expected = |name: &String| {
        name == "/dev/null" || name.contains("pidfd") || *name == log.to_string_lossy()
    };
    ensure!(
        holds.len() == 3 && holds.iter().all(is_expected),
        "{holds:?}"
    );
    ensure!(fs::read_link(folder.join("cwd"))? == Path::new("/"));
    leads_a_session_without_terminal(&fs::read_to_string(folder.join("stat"))?)
}

pub(super) async fn goes_down(lab: &Lab<'_>) -> Result<()> {
    lab.expect(&["down"]).await?;
    let left = own_groups(&lab.state());
    ensure!(left.is_empty(), "{left:?}");
    guardian_ends(lab).await
}

async fn guardian_ends(lab: &Lab<'_>) -> Result<()> {
    eventually("the guardian ends", || async {
        let guardian = guardian(&lab.state())?;
        ensure!(guardian.is_none(), "process {guardian:?}");
        Ok(())
    })
    .await
}

pub(super) async fn is_killed(lab: &Lab<'_>) -> Result<()> {
    lab.expect(&UP).await?;
    ensure!(!own_groups(&lab.state()).is_empty(), "it has no groups");
    kill_process(lab.first_process().await?)?;
    eventually("its groups are gone", || async {
        let left = own_groups(&lab.state());
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .await?;
    guardian_ends(lab).await
}

pub(super) async fn is_killed_with_its_guardian(lab: &Lab<'_>) -> Result<()> {
    lab.expect(&UP).await?;
    let first = lab.first_process().await?;
    kill_process(guardian(&lab.state())?.context("no guardian")?)?;
    guardian_ends(lab).await?;
    kill_process(first)?;
    let left = own_groups(&lab.state());
    ensure!(!left.is_empty(), "nobody is there to remove them");
    let others = Others::beside(&left)?;
    lab.expect(&UP).await?;
    for folder in &left {
        ensure!(!folder.exists(), "not swept: {}", folder.display());
    }
    let now = own_groups(&lab.state());
    ensure!(now.len() == left.len(), "{now:?} after {left:?}");
    others.are_there()?;
    goes_down(lab).await?;
    others.are_there()
}

/// Groups of somebody else, empty and named like the lab's.
struct Others(Vec<PathBuf>);

impl Others {
    fn beside(groups: &[PathBuf]) -> Result<Self> {
        let mut others = Self(Vec::new());
        for group in groups {
            let name = format!("netns-setup-limits-other-{}", std::process::id());
            for folder in [
                group.with_file_name(&name),
                group.with_file_name(name).join("one-1"),
            ] {
                fs::create_dir(&folder)?;
                others.0.push(folder);
            }
        }
        Ok(others)
    }

    fn are_there(&self) -> Result<()> {
        for folder in &self.0 {
            ensure!(folder.exists(), "{} was removed", folder.display());
        }
        Ok(())
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        for folder in self.0.iter().rev() {
            let _ = fs::remove_dir(folder); // best effort: a test that fails says so already
        }
    }
}
