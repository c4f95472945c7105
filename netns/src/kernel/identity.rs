//! Who the lab's root really is, and thereby who a sandboxed process is.

use std::fs;
use std::io;
use std::path::Path;

use nix::unistd::{Gid, Uid, chown, geteuid};

/// User and group of everything that runs in a sandbox: the `nonroot` user of the distroless images.
pub const SANDBOX_ID: u32 = 65532;

/// Who stands behind the lab's root user.
///
/// The lab always has a user namespace of its own, so its root holds no power over the host's namespaces, devices or modules.
/// As root the map is the identity over every id the caller has: files keep their owners, and a sandboxed process is a real
/// kernel uid 65532, set by `setresuid`. Rootless the map is one id, 0 to the caller; a sandbox then maps its own 65532 to that id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// An ordinary user: the lab's 0 is the caller.
    Rootless,
    /// The host's root: every id is itself.
    Root,
}

impl Identity {
    /// Reads the identity from the calling process's id map. To be asked inside the lab.
    ///
    /// # Errors
    /// When `/proc/self/uid_map` cannot be read.
    pub fn current() -> io::Result<Self> {
        Ok(Self::of_map(&fs::read_to_string("/proc/self/uid_map")?))
    }

    /// Who would stand behind a lab that the calling process enters: only root can map more than one id, and in a container root itself
    /// may have too few.
    ///
    /// # Errors
    /// When `/proc/self/uid_map` cannot be read.
    pub fn of_caller() -> io::Result<Self> {
        if geteuid().is_root() {
            Self::current()
        } else {
            Ok(Self::Rootless)
        }
    }

    fn of_map(map: &str) -> Self {
        let has_sandbox_id = map.lines().filter_map(extent).any(|(inside, _, count)| {
            (inside..inside.saturating_add(count)).contains(&u64::from(SANDBOX_ID))
        });
        if has_sandbox_id {
            Self::Root
        } else {
            Self::Rootless
        }
    }

    /// The id, as the lab sees it, that owns what a sandbox may write.
    #[must_use]
    pub fn sandbox_owner(self) -> u32 {
        match self {
            Self::Rootless => 0,
            Self::Root => SANDBOX_ID,
        }
    }

    /// Makes sure that a volume's folder exists and belongs to the sandboxes' user; its contents are left alone.
    ///
    /// # Errors
    /// When it cannot be made or given away.
    pub fn prepare_volume(self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)?;
        let owner = self.sandbox_owner();
        chown(path, Some(Uid::from_raw(owner)), Some(Gid::from_raw(owner)))?;
        Ok(())
    }
}

/// One line of an id map (`user_namespaces(7)`): first id inside, first id outside, number of ids.
pub(super) fn extent(line: &str) -> Option<(u64, u64, u64)> {
    let mut numbers = line.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(Ok(inside)), Some(Ok(outside)), Some(Ok(count))) => Some((inside, outside, count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_tells_who_is_behind_root() {
        assert_eq!(
            Identity::of_map("         0          0 4294967295\n"),
            Identity::Root
        );
        assert_eq!(
            Identity::of_map("         0       1000          1\n"),
            Identity::Rootless
        );
        assert_eq!(
            Identity::of_map("0 1000 1\n1 100000 65536\n"),
            Identity::Root
        );
    }
}
