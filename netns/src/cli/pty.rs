//! A terminal for `exec`: the program gets one of its own, and this process carries bytes and the window's size between the two.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::pty::{Winsize, openpty};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

nix::ioctl_read_bad!(window_size, libc::TIOCGWINSZ, Winsize);
nix::ioctl_write_ptr_bad!(set_window_size, libc::TIOCSWINSZ, Winsize);

/// Both terminals; the caller's is raw until this is dropped.
#[derive(Debug)]
pub(super) struct Pty {
    master: File,
    /// The end that becomes the program's; to be dropped once it has been sent.
    pub(super) slave: Option<OwnedFd>,
    before: Termios,
}

impl Pty {
    /// Opens a terminal as large as the caller's, and puts the caller's into raw mode.
    pub(super) fn open() -> io::Result<Self> {
        let stdin = io::stdin();
        let before = tcgetattr(&stdin)?;
        let pair = openpty(size().as_ref(), Some(&before))?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(&stdin, SetArg::TCSANOW, &raw)?;
        Ok(Self {
            master: File::from(pair.master),
            slave: Some(pair.slave),
            before,
        })
    }

    /// Readable when the program has written, or has closed its end.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }

    /// From the program to the caller; false at the end.
    pub(super) fn carry_out(&mut self) -> io::Result<bool> {
        let mut buffer = [0_u8; 8192];
        match self.master.read(&mut buffer) {
            // The last holder of the other end has closed it (EIO, tty(4)).
            Ok(0) | Err(_) => Ok(false),
            Ok(read) => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(&buffer[..read])?;
                stdout.flush()?;
                Ok(true)
            }
        }
    }

    /// From the caller to the program; false at the end.
    pub(super) fn carry_in(&mut self) -> io::Result<bool> {
        let mut buffer = [0_u8; 8192];
        let read = io::stdin().lock().read(&mut buffer)?;
        self.master.write_all(&buffer[..read])?;
        Ok(read > 0)
    }

    /// The caller's window has changed.
    pub(super) fn resize(&self) {
        if let Some(size) = size() {
            set_size(self.master.as_fd(), &size);
        }
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        // The terminal may be gone; there is nobody left to tell.
        let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.before);
    }
}

#[expect(unsafe_code, reason = "nix makes terminal ioctls unsafe functions")]
fn size() -> Option<Winsize> {
    let mut size = Winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: TIOCGWINSZ writes one winsize to the pointer, which is valid and lives until the call returns.
    unsafe { window_size(io::stdin().as_raw_fd(), &raw mut size) }.ok()?;
    Some(size)
}

#[expect(unsafe_code, reason = "nix makes terminal ioctls unsafe functions")]
fn set_size(terminal: BorrowedFd<'_>, size: &Winsize) {
    // SAFETY: TIOCSWINSZ reads one winsize from the pointer, which is valid and lives until the call returns.
    let _ = unsafe { set_window_size(terminal.as_raw_fd(), &raw const *size) }; // a size that does not fit is a nuisance only
}
