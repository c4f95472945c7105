//! Whether the folder of a lab's state can be made and written, found out without making it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{AccessFlags, Uid, access};

/// The folder, or why `up` could not use it.
pub(super) fn usable(folder: &Path) -> Result<String, String> {
    let folder = std::path::absolute(folder).map_err(|error| error.to_string())?;
    let shown = folder.display();
    let Some(there) = folder.ancestors().find(|folder| folder.exists()) else {
        return Err(format!("{shown} leads nowhere"));
    };
    let at = if there == folder {
        String::new()
    } else {
        format!(" (at {})", there.display())
    };
    if !there.is_dir() {
        return Err(format!("{shown}: Not a directory{at}"));
    }
    if let Err(errno) = access(there, AccessFlags::W_OK | AccessFlags::X_OK) {
        return Err(format!("{shown}: {}{at}", errno.desc()));
    }
    // As the lab's own look at it: see `StateDir::create`. What lies above may be others' too, /tmp for one.
    let is_others = there == folder
        && there.metadata().is_ok_and(|found| {
            found.uid() != Uid::effective().as_raw() || found.mode() & 0o022 != 0
        });
    if is_others {
        return Err(format!(
            "{shown}: it belongs to another user, or others may write to it"
        ));
    }
    Ok(shown.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_up_would_refuse_is_refused_and_nothing_made() {
        let base = tempfile::tempdir().unwrap();
        let file = base.path().join("file");
        fs::write(&file, "").unwrap();
        let below = file.join("underlay");
        let refused = usable(&below).unwrap_err();
        assert!(refused.contains("Not a directory (at "), "{refused}");

        let new = base.path().join("one/two");
        assert_eq!(usable(&new), Ok(new.display().to_string()));
        assert!(!base.path().join("one").exists());
        fs::create_dir_all(&new).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(
            usable(&new)
                .unwrap_err()
                .ends_with("others may write to it")
        );
    }
}
