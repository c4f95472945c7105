//! A terminal for `exec`: made where the program runs; this process carries bytes and the window's size between it and the caller's.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use crate::kernel::sandbox::Window;
use crate::kernel::sys;

/// The program's terminal; the caller's is raw until this is dropped.
#[derive(Debug)]
pub(super) struct Pty {
    master: File,
    /// Typed, and not yet taken by the program.
    typed: VecDeque<u8>,
    before: Termios,
}

impl Pty {
    /// Puts the caller's terminal into raw mode. The caller has made sure that no signal ends this process meanwhile.
    pub(super) fn of(master: File) -> io::Result<Self> {
        // A program that does not read must not keep what it writes from being shown.
        fcntl(
            &master,
            FcntlArg::F_SETFL(OFlag::O_RDWR | OFlag::O_NONBLOCK),
        )?;
        let stdin = io::stdin();
        let before = tcgetattr(&stdin)?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(&stdin, SetArg::TCSANOW, &raw)?;
        Ok(Self {
            master,
            typed: VecDeque::new(),
            before,
        })
    }

    /// Readable when the program has written, or has closed its end.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }

    /// Whether there is something for the program to take. Nothing more should be read from the caller until it has.
    pub(super) fn has_typed(&self) -> bool {
        !self.typed.is_empty()
    }

    /// From the program to the caller; false at the end.
    pub(super) fn carry_out(&mut self) -> io::Result<bool> {
        let mut buffer = [0_u8; 8192];
        match self.master.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(true),
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

    /// From the caller, for the program; false at the end.
    pub(super) fn read_typed(&mut self) -> io::Result<bool> {
        let mut buffer = [0_u8; 4096];
        let read = nix::unistd::read(io::stdin(), &mut buffer)?;
        self.typed.extend(&buffer[..read]);
        self.hand_over();
        Ok(read > 0)
    }

    /// Hands the program as much of what has been typed as it takes.
    pub(super) fn hand_over(&mut self) {
        while self.has_typed() {
            match self.master.write(self.typed.make_contiguous()) {
                Ok(written) if written > 0 => drop(self.typed.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                _ => self.typed.clear(), // the other end is closed
            }
        }
    }

    /// The caller's window has changed.
    pub(super) fn resize(&self) {
        let window = window();
        // A size that does not fit is a nuisance only.
        let _ = sys::set_window(self.master.as_fd(), window.rows, window.columns);
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        // The terminal may be gone; there is nobody left to tell.
        let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.before);
    }
}

/// The size of the caller's terminal; of a VT100 where it does not say.
pub(super) fn window() -> Window {
    let (rows, columns) = sys::window(io::stdin().as_fd())
        .filter(|(rows, columns)| *rows > 0 && *columns > 0)
        .unwrap_or((24, 80));
    Window { rows, columns }
}

/// Waits for the program's terminal to come over `console`. `None`: none will come; the lab's answer says why.
pub(super) fn receive(console: &UnixStream) -> io::Result<Option<File>> {
    let mut byte = [0_u8];
    let mut space = nix::cmsg_space!([i32; 1]);
    let mut slices = [IoSliceMut::new(&mut byte)];
    let message = recvmsg::<()>(
        console.as_raw_fd(),
        &mut slices,
        Some(&mut space),
        MsgFlags::MSG_CMSG_CLOEXEC,
    )?;
    let mut received = message.cmsgs()?.filter_map(|control| match control {
        ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
        _ => None,
    });
    Ok(received.next().map(|fd| File::from(sys::adopt(fd))))
}
