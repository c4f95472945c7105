//! Which files of a folder are opened, one after the other, by whomever (`inotify(7)`).
#![expect(
    unsafe_code,
    reason = "nix has inotify behind a feature that nothing else wants"
)]

use std::ffi::CString;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::unistd::read;
use tokio::io::unix::AsyncFd;

/// Length of an event before its name, and where in it the length of the name is.
const HEAD: usize = size_of::<libc::inotify_event>();
const NAMED: usize = std::mem::offset_of!(libc::inotify_event, len);

/// What has been opened since it was made.
pub(super) struct Opens(AsyncFd<OwnedFd>);

impl Opens {
    pub(super) fn of(folder: &Path) -> Result<Self> {
        let folder = CString::new(folder.as_os_str().as_bytes())?;
        // SAFETY: only flags are passed; the descriptor that is answered is a new one, owned by nobody else.
        let watching = unsafe {
            let answer = libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC);
            OwnedFd::from_raw_fd(Errno::result(answer)?)
        };
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(&watching);
        // SAFETY: the name ends with a NUL and lives as long as the call.
        let answer = unsafe { libc::inotify_add_watch(descriptor, folder.as_ptr(), libc::IN_OPEN) };
        Errno::result(answer)?;
        // SAFETY: it owns the descriptor, and nobody else closes it.
        Ok(Self(unsafe { AsyncFd::register(watching)? }))
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
        let mut buffer = [0; 1 << 16];
        loop {
            let length = match read(self.0.get_ref(), &mut buffer) {
                Err(Errno::EAGAIN) => return Ok(names),
                length => length?,
            };
            let mut events = &buffer[..length];
            while !events.is_empty() {
                let (head, rest) = events.split_at_checked(HEAD).context("an event")?;
                let named = head[NAMED..].first_chunk().context("its length")?;
                let named = usize::try_from(u32::from_ne_bytes(*named))?;
                let (name, rest) = rest.split_at_checked(named).context("its name")?;
                let name = String::from_utf8_lossy(name);
                names.push(name.trim_end_matches('\0').to_owned());
                events = rest;
            }
        }
    }
}
