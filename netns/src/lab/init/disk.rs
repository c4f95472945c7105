//! Room for logs: what instances write when there is none is lost, so it is watched for.

use std::path::PathBuf;

use nix::sys::statvfs::statvfs;

/// Less room than this, in bytes, and lines are lost, or are about to be.
const LITTLE: u64 = 64 * 1024;

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
