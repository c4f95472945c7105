//! The one who stays outside: removes a lab's groups when the lab has ended, in whatever way.
//!
//! A lab's first process, killed, can remove nothing; and nobody else need be there then. So the launcher starts this program once
//! more before the lab makes its groups. It holds nothing of the caller's, no folder, terminal, pipe or socket: only the lab's first process
//! (`pidfd_open(2)`), which it waits for. The groups to remove are its arguments, so that `ps` tells what it is there for.

use std::fs;
use std::io::{self, PipeWriter, Read, Write, pipe};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{dup2_stdout, setsid};

use super::removal::{kill, sweep};
use crate::kernel::failure::{Failure, Step};
use crate::kernel::sys;

/// First argument of the re-executed binary.
const SUBCOMMAND: &str = "cgroup-guardian";

/// Starts the guardian of `folders`; returns when it waits for the process behind `lab`, on its own.
///
/// # Errors
/// When it cannot be started.
pub fn start(lab: BorrowedFd<'_>, log: BorrowedFd<'_>, folders: &[PathBuf]) -> Result<(), Failure> {
    let name = || "start the guardian of the control groups".to_owned();
    let (mut ready, theirs) = pipe().step(name)?;
    // Not waited for: it outlives the launcher of a detached lab, and a launcher that stays ends with it.
    Command::new("/proc/self/exe")
        .arg0("netns-setup")
        .arg(SUBCOMMAND)
        .args(folders)
        .env_clear()
        .stdin(Stdio::from(lab.try_clone_to_owned().step(name)?))
        .stdout(Stdio::from(OwnedFd::from(theirs)))
        .stderr(Stdio::from(log.try_clone_to_owned().step(name)?))
        .spawn()
        .step(name)?;
    ready.read_exact(&mut [0]).step(name)
}

/// Takes over the process if it was started as a guardian. Must be called before the command line is read.
#[must_use]
pub fn intercept() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    (arguments.next()? == SUBCOMMAND).then(|| {
        let folders: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
        match guard(&folders) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let _ = writeln!(io::stderr(), "control groups stay: {error}");
                ExitCode::FAILURE
            }
        }
    })
}

fn guard(folders: &[PathBuf]) -> io::Result<()> {
    sys::close_from_3()?;
    setsid()?; // no child of make's or a terminal's job any more
    std::env::set_current_dir("/")?;
    let mut ready = PipeWriter::from(io::stdout().as_fd().try_clone_to_owned()?);
    dup2_stdout(fs::File::open("/dev/null")?)?;
    ready.write_all(b"r")?;
    drop(ready);
    wait(io::stdin().as_fd())?;
    for folder in folders {
        kill(folder);
    }
    sweep(folders)
}

/// Waits for the end of the process behind the descriptor.
fn wait(lab: BorrowedFd<'_>) -> io::Result<()> {
    loop {
        match poll(
            &mut [PollFd::new(lab, PollFlags::POLLIN)],
            PollTimeout::NONE,
        ) {
            Ok(_) => return Ok(()),
            Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
