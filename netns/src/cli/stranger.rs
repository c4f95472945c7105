//! A state folder that this user may not look into. Nothing of what runs there can be told, least of all that nothing does.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Uid, User};

use super::failure::{Code, Failure};

/// Why a folder cannot be looked into, if it is another user's; a folder that is not there can.
pub(super) fn refusal(folder: &Path) -> Option<Failure> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
        _ => return None,
    }
    // The first that is seen from outside is the one that keeps its inside to itself.
    let mut seen = folder
        .ancestors()
        .filter_map(|above| Some((above, fs::metadata(above).ok()?.uid())));
    let (above, owner) = seen.next()?;
    (owner != Uid::effective().as_raw()).then(|| theirs(above, owner))
}

fn theirs(folder: &Path, owner: u32) -> Failure {
    let known = User::from_uid(Uid::from_raw(owner)).ok().flatten();
    let (who, as_them) = match known {
        Some(user) if user.uid.is_root() => (user.name, "sudo".to_owned()),
        Some(user) => (user.name.clone(), format!("sudo -u {}", user.name)),
        None => (format!("user {owner}"), format!("sudo -u '#{owner}'")),
    };
    Failure::new(
        Code::Failed,
        format!(
            "error: {} belongs to {who}, who alone may look into it\n = help: `{as_them} netns-setup ...` asks as {who}; --state-dir or NETNS_STATE_DIR names a folder of your own",
            folder.display()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_is_named_and_how_to_be_them() {
        let root = theirs(Path::new("/var/lib/netns-setup"), 0).message;
        assert!(
            root.contains("belongs to root,") && root.contains("`sudo netns-setup"),
            "{root}"
        );
        let nobody = theirs(Path::new("/x"), 61_299).message;
        assert!(
            nobody.contains("user 61299") && nobody.contains("sudo -u '#61299'"),
            "{nobody}"
        );
        let own = tempfile::tempdir().unwrap();
        assert!(refusal(own.path()).is_none() && refusal(&own.path().join("none")).is_none());
    }
}
