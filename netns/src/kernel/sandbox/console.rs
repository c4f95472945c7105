//! A terminal for a program, made from the devpts that the program sees: so `tty` knows its name, and it can be opened again.
//!
//! The other end goes back to whoever asked, over the socket that stands in for standard input.

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::fcntl::OFlag;
use nix::pty::{posix_openpt, unlockpt};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::sys::termios::{InputFlags, SetArg, tcgetattr, tcsetattr};

use super::Window;
use super::program::Standard;
use crate::kernel::failure::{Failure, Step};
use crate::kernel::sys;

/// The program's standard streams: those that came with the request, or a new terminal three times.
pub(super) fn standard(streams: [OwnedFd; 3], window: Option<Window>) -> Result<Standard, Failure> {
    let [stdin, stdout, stderr] = streams;
    let Some(window) = window else {
        return Ok(Standard {
            stdin,
            stdout,
            stderr,
            terminal: false,
        });
    };
    let terminal = open(&stdin, window)?;
    let again = || {
        terminal
            .try_clone()
            .step(|| "duplicate its terminal".into())
    };
    Ok(Standard {
        stdout: again()?,
        stderr: again()?,
        stdin: terminal,
        terminal: true,
    })
}

/// Opens a terminal, and sends its other end over `socket`.
fn open(socket: &OwnedFd, window: Window) -> Result<OwnedFd, Failure> {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = posix_openpt(flags).step(|| "open /dev/ptmx".into())?;
    unlockpt(&master).step(|| "unlock its terminal".into())?;
    // By the other end, not by name: whoever else is in there cannot put something in its place.
    let terminal =
        sys::terminal_of(master.as_fd()).step(|| "open the other end of its terminal".into())?;
    sys::set_window(terminal.as_fd(), window.rows, window.columns)
        .step(|| "set its terminal's size".into())?;
    let mut settings = tcgetattr(&terminal).step(|| "read its terminal's settings".into())?;
    settings.input_flags |= InputFlags::IUTF8;
    tcsetattr(&terminal, SetArg::TCSANOW, &settings)
        .step(|| "set its terminal's settings".into())?;
    sendmsg::<()>(
        socket.as_raw_fd(),
        &[IoSlice::new(b"t")],
        &[ControlMessage::ScmRights(&[master.as_raw_fd()])],
        MsgFlags::MSG_NOSIGNAL,
        None,
    )
    .step(|| "hand its terminal over".into())?;
    Ok(terminal)
}
