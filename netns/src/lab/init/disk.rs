//! Room for logs: what instances write when there is none is lost without anybody hearing of it, so it is watched for.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;

use crate::lab::clock::millis;
use crate::lab::supervise::Time;

/// Less room than this, in bytes, and lines are lost, or are about to be.
const LITTLE: u64 = 64 * 1024;

/// The file system that the logs are on.
#[derive(Debug)]
pub(super) struct Disk {
    folder: PathBuf,
    full_since: Option<Time>,
}

impl Disk {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            full_since: None,
        }
    }

    /// Whether there was no room when it was last looked at.
    pub(super) fn is_full(&self) -> bool {
        self.full_since.is_some()
    }

    /// Looks how much room there is. Once there is some again, the logs say that they may lack lines.
    pub(super) fn look<'a>(&mut self, now: Time, logs: impl Iterator<Item = &'a Path>) {
        let Ok(found) = statvfs(&self.folder) else {
            return;
        };
        let room = found.blocks_available() * found.fragment_size();
        match self.full_since {
            None if room < LITTLE => {
                self.full_since = Some(now);
                tracing::warn!(folder = %self.folder.display(), "the disk is full: logs lose lines");
            }
            Some(since) if room >= LITTLE => {
                self.full_since = None;
                let seconds = millis(now.saturating_sub(since)) / 1000;
                tracing::info!(seconds, "the disk has room again");
                for log in logs {
                    note(log, seconds);
                }
            }
            _ => {}
        }
    }
}

fn note(log: &Path, seconds: u64) {
    if let Ok(mut file) = OpenOptions::new().append(true).open(log) {
        // Full again already: then it is said next time.
        let _ = writeln!(
            file,
            "netns-setup: the disk was full for {seconds} s; lines may be missing here"
        );
    }
}
