//! Bare system calls, as an intruder would make them.
#![expect(
    unsafe_code,
    reason = "system calls that have no safe wrapper, a fork to make them in, and an instruction of 32-bit programs"
)]

use std::io::{self, PipeWriter, Read, Write, pipe};
use std::os::fd::{AsRawFd, BorrowedFd};

use anyhow::Result;
use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

use super::Answer;

/// Makes an attempt in a process of its own, which it may lose.
pub(super) fn apart(attempt: impl FnOnce() -> io::Result<()>) -> Result<Answer> {
    let (mut reader, writer) = pipe()?;
    // SAFETY: this program has one thread, so the child is a copy of it stopped here.
    let child = match unsafe { fork() }? {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            tell(writer, attempt());
            // SAFETY: _exit has no precondition and does not return.
            unsafe { libc::_exit(0) }
        }
    };
    drop(writer);
    let mut told = Vec::new();
    reader.read_to_end(&mut told)?;
    let end = waitpid(child, None)?;
    Ok(match (<[u8; 4]>::try_from(told.as_slice()), end) {
        (Ok(number), _) if number == [0; 4] => Answer::Done,
        (Ok(number), _) => Answer::Refused(Errno::from_raw(i32::from_ne_bytes(number))),
        (Err(_), WaitStatus::Signaled(_, signal, _)) => Answer::Killed(signal),
        (Err(_), end) => anyhow::bail!("an attempt ended without a word: {end:?}"),
    })
}

fn tell(mut writer: PipeWriter, outcome: io::Result<()>) {
    let number = outcome.map_or_else(|error| error.raw_os_error().unwrap_or(libc::EPROTO), |()| 0);
    let _ = writer.write_all(&number.to_ne_bytes()); // the parent misses it
}

/// A system call by its number. A pointer among the arguments must be valid for the call, or null.
pub(super) fn call<const N: usize>(number: libc::c_long, arguments: [usize; N]) -> io::Result<i64> {
    let mut all = [0; 6];
    all[..N].copy_from_slice(&arguments);
    let [a, b, c, d, e, f] = all;
    // SAFETY: this is a process of its own that ends after the attempt; the callers, all in this test, pass numbers, null, and
    // addresses of values that live as long as the call.
    let answer = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    Ok(Errno::result(answer)?)
}

/// Forks with these flags, the child ending at once.
pub(super) fn clone(flags: i32) -> io::Result<()> {
    let flags = (flags | libc::SIGCHLD) as usize;
    if call(libc::SYS_clone, [flags])? == 0 {
        // SAFETY: as in `apart`; without CLONE_VM the child has memory of its own.
        unsafe { libc::_exit(0) }
    }
    Ok(())
}

/// The same by the newer call, whose flags are behind a pointer.
pub(super) fn clone3(flags: u64) -> io::Result<()> {
    // struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls.
    let arguments = [flags, 0, 0, 0, libc::SIGCHLD as u64, 0, 0, 0];
    let size = size_of_val(&arguments);
    if call(libc::SYS_clone3, [arguments.as_ptr() as usize, size])? == 0 {
        // SAFETY: as in `clone`.
        unsafe { libc::_exit(0) }
    }
    Ok(())
}

/// Types a letter into a terminal, as if a person had.
pub(super) fn type_into(terminal: BorrowedFd<'_>) -> io::Result<()> {
    let letter = b'x';
    // SAFETY: TIOCSTI reads one byte from the pointer, which lives as long as the call.
    let answer = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSTI, &raw const letter) };
    Ok(Errno::result(answer).map(drop)?)
}

/// Makes a terminal that of the calling session, taking it from another session if need be.
pub(super) fn take_terminal(terminal: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: TIOCSCTTY takes an integer.
    let answer = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 1) };
    Ok(Errno::result(answer).map(drop)?)
}

/// A system call the way 32-bit programs make it: number 20 there is `getpid`.
#[cfg(target_arch = "x86_64")]
pub(super) fn call_of_32_bits() -> io::Result<()> {
    let answer: i64;
    // SAFETY: getpid has no arguments and touches no memory; the kernel preserves every register but rax (and r8 to r11, marked).
    unsafe {
        std::arch::asm!("int 0x80", inlateout("rax") 20_i64 => answer,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _);
    }
    if answer > 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::ENOSYS))
    }
}

/// Other processors have no such instruction.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn call_of_32_bits() -> io::Result<()> {
    Err(nix::sys::signal::raise(nix::sys::signal::Signal::SIGSYS)
        .map_or_else(Into::into, |()| io::Error::from_raw_os_error(libc::ENOSYS)))
}
