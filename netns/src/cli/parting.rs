//! Ctrl-C while a lab does what it was asked for: it goes on without this program, which says so before it ends.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::AsFd;
use std::thread::{self, JoinHandle};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::failure::Code;
use super::terminal::complain;

/// What a lab that runs does with a request whose sender has left.
pub(super) const GOES_ON: &str = "the lab goes on with it: `netns-setup ps` shows how it stands, `netns-setup events --since 1m` what has happened";

/// As long as it is there, Ctrl-C ends this program with a word of what becomes of the request.
#[derive(Debug)]
pub(super) struct Parting {
    /// Closed, it ends the thread.
    end: Option<PipeWriter>,
    listener: Option<JoinHandle<()>>,
    /// The signals that were blocked before.
    before: SigSet,
}

impl Parting {
    /// These are the words.
    pub(super) fn with(words: impl Into<String>) -> io::Result<Self> {
        let words = words.into();
        let (ended, end) = io::pipe()?;
        let mut parting = Self {
            end: Some(end),
            listener: None,
            before: SigSet::thread_get_mask()?,
        };
        if is_ignored()? {
            return Ok(parting); // as a shell's `&` has it: it must not end this program
        }
        let mut interrupt = SigSet::empty();
        interrupt.add(Signal::SIGINT);
        interrupt.thread_block()?; // in the thread as well, which inherits it
        let signals = SignalFd::with_flags(&interrupt, SfdFlags::SFD_CLOEXEC)?;
        let listener = thread::Builder::new()
            .name("interrupt".into())
            .spawn(move || {
                if is_interrupted(&signals, &ended) {
                    complain(&words);
                    std::process::exit(i32::from(Code::Interrupted as u8));
                }
            })?;
        parting.listener = Some(listener);
        Ok(parting)
    }
}

/// Whether whoever started this program has it ignore Ctrl-C.
fn is_ignored() -> io::Result<bool> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let mut lines = status.lines();
    let ignored = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    Ok(ignored.unwrap_or_default() & (1 << (Signal::SIGINT as u32 - 1)) != 0)
}

impl Drop for Parting {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
        let _ = self.before.thread_set_mask();
    }
}

/// Waits for Ctrl-C, or for the other end of the pipe to be closed.
fn is_interrupted(signals: &SignalFd, ended: &PipeReader) -> bool {
    loop {
        let mut fds = [
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(ended.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => {}
            Err(_) => return false,
            Ok(_) => return fds[0].any() == Some(true),
        }
    }
}
