//! The lab's control groups, from the launcher's side: looked for, noted in the state folder, given a guardian, swept.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::state::StateDir;
use crate::kernel::cgroup::{self, LabGroups};

/// What came of looking for control groups.
#[derive(Debug, Default)]
pub struct Limiting {
    /// The lab's groups, if it is to have any.
    pub groups: Option<LabGroups>,
    /// Why limits are not enforced, or not all of them.
    pub unenforced: Option<String>,
}

/// Removes what an earlier life of the lab has left, and decides on the groups of this one. The caller holds the lab's lock. Makes
/// no group but the one that the caller itself may have to move to.
///
/// # Errors
/// When groups of an earlier life stay, or the state folder cannot be written.
pub fn prepare(project: &str, state: &StateDir) -> io::Result<Limiting> {
    sweep(state)?;
    let ground = match cgroup::survey() {
        Ok(ground) => ground,
        Err(unenforced) => {
            return Ok(Limiting {
                groups: None,
                unenforced: Some(unenforced.to_string()),
            });
        }
    };
    let groups = LabGroups::new(&ground, project, state.path())?;
    note(state, &groups.folders())?;
    Ok(match groups.leave_for_leaf() {
        Ok(()) => Limiting {
            groups: Some(groups),
            unenforced: ground.missing().map(|missing| missing.to_string()),
        },
        Err(failure) => Limiting {
            groups: None,
            unenforced: Some(failure.to_string()),
        },
    })
}

/// Removes the groups that the lab noted. Nothing of it runs any more.
///
/// # Errors
/// When one stays, because a process is in it.
pub fn sweep(state: &StateDir) -> io::Result<()> {
    let noted = match fs::read_to_string(state.groups()) {
        Ok(noted) => noted,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let folders: Vec<PathBuf> = noted.lines().map(PathBuf::from).collect();
    cgroup::sweep(&folders)?;
    forget(state)
}

/// Removes the groups of one life of the lab, which has ended. The next one may have begun meanwhile: its groups, and its note of
/// them, stay.
///
/// # Errors
/// As [`sweep`].
pub fn sweep_own(state: &StateDir, folders: &[PathBuf]) -> io::Result<()> {
    cgroup::sweep(folders)?;
    match fs::read_to_string(state.groups()) {
        Ok(noted) if noted == lines(folders) => forget(state),
        _ => Ok(()),
    }
}

/// The guardian and `down` may both come to it: one of them finds it gone.
fn forget(state: &StateDir) -> io::Result<()> {
    match fs::remove_file(state.groups()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Before they are made: what is not noted would never be found again.
fn note(state: &StateDir, folders: &[PathBuf]) -> io::Result<()> {
    fs::write(state.groups(), lines(folders))
}

fn lines(folders: &[PathBuf]) -> String {
    folders
        .iter()
        .map(|folder| format!("{}\n", folder.display()))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_is_noted_is_swept_once_and_nothing_else_is_touched() {
        let base = tempfile::tempdir().unwrap();
        let state = StateDir::new(base.path(), "shop").unwrap();
        state.create().unwrap();
        sweep(&state).unwrap();
        let foreign = base.path().join("foreign");
        fs::create_dir(&foreign).unwrap();
        note(&state, &[foreign.clone(), "/nowhere/netns-setup-x".into()]).unwrap();
        sweep(&state).unwrap();
        assert!(foreign.exists() && !Path::new(&state.groups()).exists());
    }

    #[test]
    fn the_note_of_the_next_life_stays() {
        let base = tempfile::tempdir().unwrap();
        let state = StateDir::new(base.path(), "shop").unwrap();
        state.create().unwrap();
        let (own, next) = (
            ["/nowhere/netns-setup-1".into()],
            ["/nowhere/netns-setup-2".into()],
        );
        note(&state, &next).unwrap();
        sweep_own(&state, &own).unwrap();
        assert!(state.groups().exists());
        sweep_own(&state, &next).unwrap();
        assert!(!state.groups().exists());
    }
}
