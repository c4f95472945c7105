//! The system calls that have no safe wrapper: the crate's only unsafe code, but for the child of `doctor` that tries namespaces before its
//! `exec`.
#![expect(
    unsafe_code,
    reason = "fork, mount_setattr, close_range, pidfd_open, getxattr, keyctl, signal and the terminal ioctls have no safe wrapper in std or nix"
)]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{ForkResult, Pid};

/// Whoever owns a key sees that it is there, and nobody may do anything with it (`linux/key.h`).
const KEY_USR_VIEW: libc::c_long = 0x0001_0000;

/// Forks the calling process, which must have one thread only: a lock that another thread held would stay locked in the child
/// for ever.
pub(super) fn fork() -> Result<ForkResult, Errno> {
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads != 1 {
        return Err(Errno::EBUSY);
    }
    // SAFETY: the check above: no other thread exists, so the child's memory is that of a program stopped between two of its
    // own statements, and the child may do whatever the parent could.
    unsafe { nix::unistd::fork() }
}

/// Ends the calling process at once: no exit handlers, no destructors. For a forked child that shares its parent's buffers.
pub(super) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no precondition and does not return.
    unsafe { libc::_exit(code) }
}

/// Adds `MOUNT_ATTR_*` flags to the mount at `path` and, with `recursive`, to every mount below it (`mount_setattr(2)`, Linux
/// 5.12). Unlike a remount it leaves all other flags alone, so a flag that is locked in a user namespace does not refuse it.
pub(super) fn add_mount_attributes(
    path: &Path,
    attributes: u64,
    recursive: bool,
) -> Result<(), Errno> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    let attributes = libc::mount_attr {
        attr_set: attributes,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    let flags = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a C string and the attributes a mount_attr of the stated size; both live until the call returns.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    Errno::result(answer).map(drop)
}

/// Marks every descriptor from 3 on to be closed by `exec` (`close_range(2)`, Linux 5.11).
pub(super) fn close_on_exec_from_3() -> Result<(), Errno> {
    // SAFETY: only changes a flag of descriptors, closes none.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    Errno::result(answer).map(drop)
}

/// Closes every descriptor from 3 on. For a process at its start, which owns none of them yet.
pub(super) fn close_from_3() -> Result<(), Errno> {
    // SAFETY: the one caller has opened nothing yet, so nothing in this process owns what is closed.
    let answer = unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
    Errno::result(answer).map(drop)
}

/// Whether the file has the extended attribute `name` (`getxattr(2)`), as far as the caller may see.
pub(super) fn has_attribute(path: &Path, name: &str) -> bool {
    let (Ok(path), Ok(name)) = (
        CString::new(path.as_os_str().as_bytes()),
        CString::new(name),
    ) else {
        return false;
    };
    // SAFETY: both are C strings that live until the call returns; a size of 0 asks for the value's length and writes nothing.
    let answer = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), std::ptr::null_mut(), 0) };
    answer >= 0
}

/// A descriptor for a process (`pidfd_open(2)`): readable once it has ended, and never another process's.
pub(super) fn pidfd_open(pid: Pid) -> Result<OwnedFd, Errno> {
    // SAFETY: takes two integers.
    let answer = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    let fd = i32::try_from(Errno::result(answer)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Gives every signal its default action and blocks none. `exec` keeps what is ignored (Rust ignores SIGPIPE) and blocked.
pub(super) fn reset_signals() -> Result<(), Errno> {
    nix::sys::signal::SigSet::empty().thread_set_mask()?;
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: SIG_DFL is no handler, so no code of ours can run in a signal. Numbers that cannot be changed (SIGKILL,
        // SIGSTOP, the C library's own) are refused by the call, which is as well.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    Ok(())
}

/// Makes the terminal `fd` the controlling one of the calling session leader, so that Ctrl-C reaches it (`tty_ioctl(4)`).
pub(super) fn set_controlling_terminal(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: TIOCSCTTY takes an integer and the descriptor is open.
    let answer = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSCTTY, 0) };
    Errno::result(answer).map(drop).map_err(io::Error::from)
}

/// The other end of the pseudoterminal `master`, whatever its name is here (`TIOCGPTPEER` in `ioctl_tty(2)`, Linux 4.13).
pub(super) fn terminal_of(master: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: TIOCGPTPEER takes an integer and the descriptor is open.
    let answer = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) };
    let fd = Errno::result(answer)?;
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets a terminal's size in characters; who runs in it hears of it by SIGWINCH (`ioctl_tty(2)`).
pub(crate) fn set_window(terminal: BorrowedFd<'_>, rows: u16, columns: u16) -> io::Result<()> {
    let size = libc::winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: TIOCSWINSZ reads one winsize from the pointer, which is valid and lives until the call returns.
    let answer = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    Errno::result(answer).map(drop).map_err(io::Error::from)
}

/// A terminal's size: rows and columns; `None` where there is no terminal.
pub(crate) fn window(terminal: BorrowedFd<'_>) -> Option<(u16, u16)> {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: TIOCGWINSZ writes one winsize to the pointer, which is valid and lives until the call returns.
    let answer = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    Errno::result(answer).ok()?;
    Some((size.ws_row, size.ws_col))
}

/// Owns a descriptor that the kernel has just handed to this process in a message (`SCM_RIGHTS`).
pub(crate) fn adopt(received: RawFd) -> OwnedFd {
    // SAFETY: descriptors received in a control message are new ones of this process, owned by nobody yet; the callers pass
    // exactly those.
    unsafe { OwnedFd::from_raw_fd(received) }
}

/// Leaves the caller's session keyring for a new one that is empty and stays so (`keyrings(7)`): nobody who has it may search, read or
/// change it. A kernel without keyrings has none to leave.
pub(super) fn leave_session_keyring() -> Result<(), Errno> {
    // SAFETY: the name is null, which asks for an unnamed keyring; nothing else is passed.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            libc::KEYCTL_JOIN_SESSION_KEYRING,
            std::ptr::null::<libc::c_char>(),
        )
    };
    let keyring = match Errno::result(answer) {
        Err(Errno::ENOSYS) => return Ok(()),
        outcome => outcome?,
    };
    // SAFETY: two numbers are passed, no memory.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            libc::KEYCTL_SETPERM,
            keyring,
            KEY_USR_VIEW,
        )
    };
    Errno::result(answer).map(drop)
}
