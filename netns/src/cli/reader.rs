//! Whoever reads standard output may leave, as `| head -1` does: what follows something ends then, and does not wait until it has
//! more to say.

use std::io;
use std::os::fd::AsFd;
use std::thread;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow};

/// Ends this program as soon as nobody reads its standard output any more.
///
/// # Errors
/// When the thread that waits for that cannot be started.
pub(super) fn wait_for_end() -> io::Result<()> {
    // Signals are for those who have been told what to do about them.
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let spawned = thread::Builder::new().name("reader".into()).spawn(|| {
        let stdout = io::stdout();
        let mut fds = [waiting_on(&stdout)];
        loop {
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) if has_left(&fds[0]) => leave(),
                Err(Errno::EINTR) => {}
                Ok(_) | Err(_) => return, // there is nothing to wait on
            }
        }
    });
    before.thread_set_mask()?;
    spawned.map(drop)
}

/// For poll(2), which reports without being asked that the reader of a pipe, a socket or a terminal is gone.
pub(super) fn waiting_on(stdout: &io::Stdout) -> PollFd<'_> {
    PollFd::new(stdout.as_fd(), PollFlags::empty())
}

/// Whether what was polled has no reader any more. A pipe without one is an error (`POLLERR`), the rest is hung up.
pub(super) fn has_left(fd: &PollFd<'_>) -> bool {
    let gone = PollFlags::POLLERR | PollFlags::POLLHUP;
    fd.revents().is_some_and(|events| events.intersects(gone))
}

/// Ends this program quietly, as every other tool ends whose reader has gone.
pub(super) fn leave() -> ! {
    std::process::exit(0)
}
