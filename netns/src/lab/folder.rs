//! Folders of a lab on the disk: when there is no room in one, and how one is removed whatever is in it.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// That a full disk is why nothing can be written in a lab's folder, and what to do; `None`: it is not why.
#[must_use]
pub fn lacks_room(folder: &Path, error: &io::Error) -> Option<String> {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded).then(|| {
        format!(
            "no room is left in {}\n = help: make room, or name another folder with --state-dir",
            folder.display()
        )
    })
}

/// Removes a folder with everything in it, if it is there; also where somebody has made folders in it that may not be written to, not
/// even by their owner.
///
/// # Errors
/// When something cannot be removed: with its name.
pub fn remove(folder: &Path) -> io::Result<()> {
    let mut removed = fs::remove_dir_all(folder);
    if matches!(&removed, Err(error) if error.kind() == io::ErrorKind::PermissionDenied) {
        open_up(folder)?;
        removed = fs::remove_dir_all(folder);
    }
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(|error| named(&error, folder)),
    }
}

/// Lets the owner, who is to be the caller, into every folder below this one.
fn open_up(folder: &Path) -> io::Result<()> {
    let about = |error| named(&error, folder);
    fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(about)?;
    for entry in fs::read_dir(folder).map_err(about)? {
        let entry = entry.map_err(about)?;
        // Of the entry itself: a link is not followed.
        if entry.file_type().map_err(about)?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

/// An error with the path that it is about.
pub(super) fn named(error: &io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn folders_that_let_nobody_in_are_opened_and_links_are_not_followed() {
        let base = tempfile::tempdir().unwrap();
        let (outside, top) = (base.path().join("outside"), base.path().join("top"));
        let shut = top.join("a/shut");
        fs::create_dir_all(&shut).unwrap();
        fs::create_dir(&outside).unwrap();
        symlink(&outside, top.join("a/link")).unwrap();
        fs::write(shut.join("file"), "").unwrap();
        for (folder, mode) in [(&shut, 0), (&top, 0o500), (&outside, 0o500)] {
            fs::set_permissions(folder, Permissions::from_mode(mode)).unwrap();
        }
        open_up(&top).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode(&shut), mode(&top), mode(&outside)),
            (0o700, 0o700, 0o500)
        );
        remove(&top).unwrap();
        assert!(!top.exists() && outside.exists());
        remove(&top).unwrap();
    }
}
