//! Room for logs: what instances write when there is none is lost, so it is watched for.

use std::io;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;

use super::target::Refusal;
use crate::lab::folder::lacks_room;

/// Less room than this, in bytes, and lines are lost, or are about to be.
const LITTLE: u64 = 64 * 1024;

/// The exit code where the machine lacks something.
const ENVIRONMENT: u8 = 69;

/// Why files in the lab's folder could not be written, and the exit code.
pub(super) fn unwritten(folder: &Path, error: &io::Error) -> Refusal {
    match lacks_room(folder, error) {
        Some(why) => (why, Some(ENVIRONMENT)),
        None => {
            let folder = folder.display();
            (
                format!("files in {folder} cannot be written: {error}"),
                None,
            )
        }
    }
}

/// The file system that the logs are on.
#[derive(Debug)]
pub(super) struct Disk {
    folder: PathBuf,
    is_full: bool,
}

impl Disk {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            is_full: false,
        }
    }

    /// Whether there was no room when it was last looked at.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Looks how much room there is.
    pub(super) fn look(&mut self) {
        let Ok(found) = statvfs(&self.folder) else {
            return;
        };
        let is_full = found.blocks_available() * found.fragment_size() < LITTLE;
        let folder = self.folder.display();
        match (self.is_full, is_full) {
            (false, true) => tracing::warn!(%folder, "the disk is full: logs lose lines"),
            (true, false) => tracing::info!(%folder, "the disk has room again"),
            _ => {}
        }
        self.is_full = is_full;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_the_machines_and_has_a_remedy() {
        let said = |errno| unwritten(Path::new("/lab"), &io::Error::from_raw_os_error(errno));
        let (full, code) = said(libc::ENOSPC);
        assert_eq!(code, Some(69));
        assert!(full.contains("/lab\n = help: make room"), "{full}");
        assert_eq!(said(libc::EROFS).1, None);
    }
}
