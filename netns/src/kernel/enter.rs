//! From the caller's process into the lab: fork, namespaces, id maps, PID 1.
//!
//! ```text
//! launcher ──fork──> outer: unshare user; (launcher writes the id maps); unshare the rest ──fork──> PID 1 of the lab
//!          <──────── its pid ─────────────┘ ends                                      <── ready ──┘
//! ```
//! The outer process ends at once: PID 1 is nobody's child and has a session of its own. It hears of its launcher's end by whatever
//! pipe or socket the two share. When PID 1 ends, the kernel kills every process of its PID namespace, and with the last of them go
//! the other namespaces and all they hold.

use std::fs;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::waitpid;
use nix::unistd::{
    ForkResult, Gid, Pid, Uid, dup2_stderr, dup2_stdin, dup2_stdout, setgroups, sethostname,
    setresgid, setresuid, setsid,
};

use super::failure::{Failure, Step};
use super::identity::Identity;
use super::idmap::write_maps;
use super::propagation::keep_mounts_to_itself;
use super::sys;

/// Which side of the fork the caller is on after [`enter`].
#[derive(Debug)]
pub enum Entered {
    /// Still the caller, outside: must close its copies of the listeners.
    Launcher(Launched),
    /// PID 1 of the lab, inside, with one thread.
    Lab(Inside),
}

/// What the launcher holds of a lab that has been entered.
#[derive(Debug)]
pub struct Launched {
    /// The lab's PID 1, as the host numbers it.
    pub pid: Pid,
    /// Becomes readable when PID 1 has ended; see [`Launched::wait`].
    pub pidfd: OwnedFd,
    /// What PID 1 writes to [`Inside::messages`]; at its end when PID 1 closed it or died.
    pub messages: PipeReader,
}

impl Launched {
    /// Blocks until PID 1 has ended.
    ///
    /// # Errors
    /// When the kernel refuses to wait.
    pub fn wait(&self) -> std::io::Result<()> {
        ended(self.pidfd.as_fd(), PollTimeout::NONE).map(drop)
    }
}

/// Waits, at most for `timeout`, until the process `pid` has ended; whether it has. When it was the first of its PID namespace,
/// everything in that namespace has ended too (`pid_namespaces(7)`).
///
/// # Errors
/// When the kernel refuses to wait.
pub fn wait_for_end(pid: Pid, timeout: Duration) -> std::io::Result<bool> {
    match sys::pidfd_open(pid) {
        Ok(pidfd) => ended(
            pidfd.as_fd(),
            PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX),
        ),
        Err(Errno::ESRCH) => Ok(true),
        Err(errno) => Err(errno.into()),
    }
}

fn ended(pidfd: BorrowedFd<'_>, timeout: PollTimeout) -> std::io::Result<bool> {
    loop {
        match poll(&mut [PollFd::new(pidfd, PollFlags::POLLIN)], timeout) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// What PID 1 holds.
#[derive(Debug)]
pub struct Inside {
    /// Who it is.
    pub identity: Identity,
    /// Goes to [`Launched::messages`]; for whatever the lab wants to tell its launcher until it is ready.
    pub messages: PipeWriter,
}

/// What asks a lab to stop.
const STOPPING: [Signal; 2] = [Signal::SIGTERM, Signal::SIGINT];

/// To be called by PID 1 once it handles SIGTERM and SIGINT, which are held back until then: the kernel drops a signal for the first
/// process of a PID namespace that neither handles nor blocks it (`pid_namespaces(7)`), and a lab asked to stop in its first
/// moments would come up all the same.
///
/// # Errors
/// When the kernel refuses.
pub fn heed_signals() -> std::io::Result<()> {
    Ok(STOPPING.into_iter().collect::<SigSet>().thread_unblock()?)
}

/// Enters a lab: returns twice, once in the launcher and once in the lab's PID 1, whose output and errors go to `log` and which has
/// SIGTERM and SIGINT blocked (see [`heed_signals`]). Must be called while the process has one thread, before any runtime is started.
///
/// # Errors
/// In the launcher only: the step that the kernel refused, with its remedy. Nothing is left behind.
pub fn enter(log: &OwnedFd) -> Result<Entered, Failure> {
    let (mut status, status_writer) = pipe().step(|| "make a pipe".into())?;
    let (go_reader, go) = pipe().step(|| "make a pipe".into())?;
    let (messages, messages_writer) = pipe().step(|| "make a pipe".into())?;
    let identity = Identity::of_caller().step(|| "read /proc/self/uid_map".into())?;

    match fork()? {
        ForkResult::Child => {
            drop((status, go, messages));
            let mut status = status_writer;
            match descend(identity, log, go_reader, &mut status) {
                Ok(()) => Ok(Entered::Lab(Inside {
                    identity,
                    messages: messages_writer,
                })),
                Err(failure) => {
                    let _ = say(&mut status, &Report::Failed(failure)); // the launcher is gone
                    sys::exit_now(1)
                }
            }
        }
        ForkResult::Parent { child: outer } => {
            drop((status_writer, go_reader, messages_writer));
            let entered = accompany(identity, outer, &mut status, go);
            // It ends by itself: its work is done, or it has failed.
            let _ = waitpid(outer, None);
            let pid = entered?;
            let pidfd = sys::pidfd_open(pid).step(|| "hold the lab's first process".into())?;
            Ok(Entered::Launcher(Launched {
                pid,
                pidfd,
                messages,
            }))
        }
    }
}

/// What the processes on the way down tell the launcher, one JSON value a line.
#[derive(serde::Serialize, serde::Deserialize)]
enum Report {
    /// The user namespace exists and wants its maps.
    Unshared,
    /// PID 1 exists; the host's number for it.
    Started(i32),
    /// PID 1 has made itself at home.
    Ready,
    Failed(Failure),
}

fn say(status: &mut PipeWriter, report: &Report) -> std::io::Result<()> {
    let mut line = serde_json::to_string(report)?;
    line.push('\n');
    status.write_all(line.as_bytes())
}

/// The launcher's side: write the maps when asked, learn the pid, wait until PID 1 is ready.
fn accompany(
    identity: Identity,
    outer: Pid,
    status: &mut PipeReader,
    mut go: PipeWriter,
) -> Result<Pid, Failure> {
    // The pid comes from the process between, readiness from PID 1 itself: in either order.
    let (mut pid, mut ready) = (None, false);
    for line in BufReader::new(status).lines() {
        let line = line.step(|| "listen to the lab's first process".into())?;
        match serde_json::from_str(&line).map_err(|error| Failure::of(line, error.to_string()))? {
            Report::Unshared => {
                write_maps(identity, outer)?;
                go.write_all(b"g").step(|| "let the lab go on".into())?;
            }
            Report::Started(raw) => pid = Some(Pid::from_raw(raw)),
            Report::Ready => ready = true,
            Report::Failed(failure) => return Err(failure),
        }
        if let (Some(pid), true) = (pid, ready) {
            return Ok(pid);
        }
    }
    Err(Failure::of(
        "enter the lab",
        "its first process was killed before it was ready",
    ))
}

/// The child's side, down to PID 1, which returns. The process between ends here.
fn descend(
    identity: Identity,
    log: &OwnedFd,
    mut go: PipeReader,
    status: &mut PipeWriter,
) -> Result<(), Failure> {
    unshare(CloneFlags::CLONE_NEWUSER)
        .step(|| "unshare a user namespace".into())
        .map_err(user_namespace_remedy)?;
    say(status, &Report::Unshared).step(|| "report to the launcher".into())?;
    go.read_exact(&mut [0])
        .step(|| "wait for the id maps".into())?;
    drop(go);
    if identity == Identity::Root {
        // Rootless this is denied (user_namespaces(7)); what those groups could open is not reachable from a sandbox.
        setgroups(&[]).step(|| "leave the supplementary groups".into())?;
    }
    let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
    setresgid(gid, gid, gid).step(|| "become the lab's root group".into())?;
    setresuid(uid, uid, uid).step(|| "become the lab's root user".into())?;
    unshare(
        CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS,
    )
    .step(|| "unshare mount, PID, network, IPC and UTS namespaces".into())?;
    if let ForkResult::Parent { child } = fork()? {
        say(status, &Report::Started(child.as_raw()))
            .step(|| "report the pid of the lab's first process".into())?;
        sys::exit_now(0);
    }
    settle(log)?;
    say(status, &Report::Ready).step(|| "report to the launcher".into())
}

/// PID 1 makes itself at home: signals, session, keys, output, mounts, name.
fn settle(log: &OwnedFd) -> Result<(), Failure> {
    let stopping: SigSet = STOPPING.into_iter().collect();
    stopping
        .thread_block()
        .step(|| "hold back its signals".into())?;
    setsid().step(|| "start a session".into())?;
    // Keys follow a process through `fork` and `exec`, whatever its user: the caller's stay behind here, for everything in the lab.
    sys::leave_session_keyring()
        .step(|| "start a session keyring".into())
        .map_err(keyring_remedy)?;
    let null = fs::File::open("/dev/null").step(|| "open /dev/null".into())?;
    dup2_stdin(&null)
        .and_then(|()| dup2_stdout(log))
        .and_then(|()| dup2_stderr(log))
        .step(|| "send the output to the log".into())?;
    keep_mounts_to_itself().step(|| "make the mounts private".into())?;
    mount(
        Some("proc"),
        "/proc",
        Some("proc"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
        None::<&str>,
    )
    .step(|| "mount /proc".into())
    .map_err(|failure| {
        failure.remedy("inside a container this needs an unmasked /proc (docker run --security-opt systempaths=unconfined)")
    })?;
    sethostname("netns-setup").step(|| "set the host name".into())?;
    umask(Mode::from_bits_truncate(0o022));
    // A relay holds two descriptors a connection; the customary soft limit of 1024 is for programs that use select(2).
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).step(|| "read its limits".into())?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).step(|| "raise its limits".into())?;
    Ok(())
}

fn fork() -> Result<ForkResult, Failure> {
    sys::fork().step(|| "fork before any thread exists".into())
}

fn keyring_remedy(failure: Failure) -> Failure {
    match Errno::from_raw(failure.errno) {
        Errno::EDQUOT => failure.remedy(
            "this user has as many keys as it may (/proc/key-users, kernel.keys.maxkeys); as root: sysctl -w kernel.keys.maxkeys=2000 kernel.keys.maxbytes=200000",
        ),
        Errno::EPERM => failure.remedy(
            "a container's filter forbids keyctl(2) (docker run --security-opt seccomp=unconfined)",
        ),
        _ => failure,
    }
}

fn user_namespace_remedy(failure: Failure) -> Failure {
    match Errno::from_raw(failure.errno) {
        Errno::EPERM | Errno::EACCES => failure.remedy(
            "this system restricts unprivileged user namespaces; `netns-setup doctor` says how to permit them",
        ),
        Errno::ENOSPC | Errno::EUSERS => {
            failure.remedy("raise it: sysctl user.max_user_namespaces=15000")
        }
        Errno::EINVAL => failure.remedy("the kernel needs CONFIG_USER_NS"),
        _ => failure,
    }
}
