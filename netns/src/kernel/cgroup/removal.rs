//! Removing what a lab has made, and nothing else.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// What every group of this program's is named by.
pub(super) const PREFIX: &str = "netns-setup-";
/// What the group is named by that a caller leaves its own for.
pub(super) const LEAF: &str = ".launcher";
/// How often, and how long apart, a group is tried that is still in use by processes that are ending: ten seconds in all.
const TRIES: u32 = 1_000;
const PAUSE: Duration = Duration::from_millis(10);

/// Removes the groups of these names, those of a lab's instances first, waiting a while for processes that are ending. A caller that
/// is in one of them, having left its own group for it, goes back there.
///
/// Only what this program has named is ever touched, and only what nobody is in: the kernel refuses the rest.
///
/// # Errors
/// The first one that stays, after all have been tried.
pub fn sweep(folders: &[PathBuf]) -> io::Result<()> {
    let mut outcome = Ok(());
    for folder in folders.iter().filter(|folder| is_ours(folder)) {
        go_home(folder);
        if let Err(error) = remove(folder) {
            outcome = outcome.and(Err(io::Error::new(
                error.kind(),
                format!("{}: {error}", folder.display()),
            )));
        }
    }
    outcome
}

/// Kills whatever is in a lab's group, where the kernel can do so at once (v2, Linux 5.14). v1 has no such file: there, everything has
/// ended with the lab's first process.
pub(super) fn kill(folder: &Path) {
    if is_ours(folder) && !folder.to_string_lossy().ends_with(LEAF) {
        let kill = fs::OpenOptions::new()
            .write(true)
            .open(folder.join("cgroup.kill"));
        let _ = kill.and_then(|mut file| io::Write::write_all(&mut file, b"1"));
    }
}

fn is_ours(folder: &Path) -> bool {
    let named = folder
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
    named && folder.join("cgroup.procs").exists()
}

/// Takes the calling process out of a leaf, back to the group above, which may have processes again once it hands on no controllers.
fn go_home(leaf: &Path) {
    let own = std::process::id().to_string();
    let members = fs::read_to_string(leaf.join("cgroup.procs")).unwrap_or_default();
    let Some(parent) = leaf
        .parent()
        .filter(|_| members.lines().any(|pid| pid == own))
    else {
        return;
    };
    let control = parent.join("cgroup.subtree_control");
    for name in fs::read_to_string(&control)
        .unwrap_or_default()
        .split_whitespace()
    {
        let _ = fs::write(&control, format!("-{name}")); // refused while somebody else has groups there: then the leaf stays too
    }
    let _ = fs::write(parent.join("cgroup.procs"), "0");
}

fn remove(folder: &Path) -> io::Result<()> {
    for _ in 1..TRIES {
        match remove_once(folder) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => thread::sleep(PAUSE),
            outcome => return outcome,
        }
    }
    remove_once(folder)
}

fn remove_once(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            gone(fs::remove_dir(entry.path()))?;
        }
    }
    gone(fs::remove_dir(folder))
}

/// Somebody else has removed it meanwhile: as well.
pub(super) fn gone(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_removed_but_an_own_group() {
        let base = tempfile::tempdir().unwrap();
        let foreign = base.path().join("docker");
        let plain = base.path().join("netns-setup-shop-1-2");
        for folder in [&foreign, &plain] {
            fs::create_dir(folder).unwrap();
        }
        fs::write(foreign.join("cgroup.procs"), "").unwrap();
        sweep(&[foreign.clone(), plain.clone(), base.path().join("none")]).unwrap();
        assert!(foreign.exists() && plain.exists());
    }
}
