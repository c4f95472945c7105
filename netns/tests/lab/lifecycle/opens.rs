//! Which files of a folder are opened, one after the other, by whomever (`inotify(7)`).
#![expect(unsafe_code, reason = "tokio wants to be promised what it watches")]

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;

use anyhow::Result;
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};
use tokio::io::unix::AsyncFd;

/// What has been opened since it was made.
pub(super) struct Opens(AsyncFd<Watching>);

struct Watching(Inotify);

impl AsRawFd for Watching {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Opens {
    pub(super) fn of(folder: &Path) -> Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        inotify.add_watch(folder, AddWatchFlags::IN_OPEN)?;
        // SAFETY: it owns its only descriptor, and nobody else closes it.
        Ok(Self(unsafe { AsyncFd::register(Watching(inotify))? }))
    }

    /// Waits for the next ones; the folder itself has no name.
    pub(super) async fn next(&self) -> Result<Vec<String>> {
        loop {
            let mut ready = self.0.readable().await?;
            let names = self.now()?;
            if !names.is_empty() {
                return Ok(names);
            }
            ready.clear_ready();
        }
    }

    /// Those that there are by now.
    pub(super) fn now(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        loop {
            match self.0.get_ref().0.read_events() {
                Err(Errno::EAGAIN) => return Ok(names),
                events => names.extend(events?.into_iter().map(name)),
            }
        }
    }
}

fn name(event: InotifyEvent) -> String {
    let name = event.name.unwrap_or_default();
    name.to_string_lossy().into_owned()
}
