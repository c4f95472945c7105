//! A sandbox for each instance: own PID, mount, IPC, UTS, cgroup and user namespace around one program.
//!
//! The lab's PID 1 has threads, and a process with threads may not unshare. So it re-executes its own binary as
//! `sandbox-init` (see [`intercept`]) and sends it, over a socket that is its standard input, what to do and the descriptors for it.
//! That process prepares the namespaces, forks the program's future process, reports its pid, and ends; PID 1 inherits the
//! program and its reaper sees it end. The socket closes by the program's `exec`, which is how success is known:
//!
//! ```text
//! PID 1 ──exec──> sandbox-init: setns(net) unshare(mnt pid ipc uts) ──fork──> root file system, uid, user ns, no caps ──exec──> program
//!       <──────── pid ────────────┘ ends                         <── failure, or end of stream ─────────────────────┘
//! ```
//! The forked process does nothing before its pid has been reported, so that PID 1 can end all that it has started; see [`Start`].
//! The forked process joins the instance's control group before anything else, so that all it does is counted there, and a cgroup
//! namespace makes that group the topmost it can name; no cgroup file system is mounted in a sandbox.
//!
//! Only the user namespace is the sandbox's own; the others belong to the lab's, so that even a process that gained every
//! capability there could change no mount, link or host name.

mod console;
mod etc;
mod init;
mod join;
mod mounts;
mod privileges;
mod program;
mod root;
pub mod seccomp;
mod start;
mod visit;
mod wire;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::process::ExitCode;

use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::cgroup::Membership;
use super::failure::{Failure, Step};
use super::reaper::Reaper;
pub use start::{GivenUp, Program, Start};
use wire::Request;

/// First argument of the re-executed binary.
const SUBCOMMAND: &str = "sandbox-init";

/// A program and the world it sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxSpec {
    /// The instance, for messages.
    pub name: String,
    /// Host name inside.
    pub hostname: String,
    /// Program and arguments. A program without a slash is looked up in the `PATH` of `env`.
    pub argv: Vec<String>,
    /// The whole environment; nothing is inherited.
    pub env: BTreeMap<String, String>,
    /// Working directory inside.
    pub cwd: PathBuf,
    /// What it sees beside the system's own read-only files.
    pub mounts: Vec<Mount>,
    /// The file that is its `/etc/hosts`. Rewritten in place it changes inside too.
    pub hosts: PathBuf,
    /// Gives the program a terminal of this size: see [`ExecSpec::terminal`].
    #[serde(default)]
    pub terminal: Option<Window>,
    /// What it may use.
    #[serde(default)]
    pub limits: ProcessLimits,
    /// The control group that it and everything it starts is in.
    #[serde(default)]
    pub group: Membership,
}

/// One mount. Everything is mounted without set-uid and device files; parent folders are made as needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// What is mounted.
    pub source: MountSource,
    /// Absolute path inside.
    pub target: PathBuf,
    /// Whether the program may only read.
    pub read_only: bool,
}

/// What a mount shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountSource {
    /// A file or folder, by its absolute path in the lab.
    Bind(PathBuf),
    /// Memory, gone with the instance.
    Tmpfs {
        /// Most bytes it may hold; half of the machine's memory when absent (`tmpfs(5)`).
        size: Option<u64>,
        /// Permission bits of its root; 1777 when absent.
        mode: Option<u32>,
    },
}

/// Limits of the process itself (`setrlimit(2)`); processor and memory are control groups' business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessLimits {
    /// Most open descriptors, cut to what the caller may grant.
    pub open_files: u64,
}

impl Default for ProcessLimits {
    fn default() -> Self {
        Self { open_files: 65_536 }
    }
}

/// A further program to run inside a sandbox that is up: `exec` and health checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecSpec {
    /// The instance, for messages.
    pub name: String,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// Working directory inside.
    pub cwd: PathBuf,
    /// What it may use: as much as the instance's own program.
    #[serde(default)]
    pub limits: ProcessLimits,
    /// The instance's control group.
    #[serde(default)]
    pub group: Membership,
    /// Gives the program a terminal of this size, made where it runs. Standard input is then a Unix socket, over which the terminal's
    /// other end comes back (`SCM_RIGHTS`) before the program starts; standard output and error are not used.
    #[serde(default)]
    pub terminal: Option<Window>,
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// The program's standard streams.
#[derive(Clone, Copy, Debug)]
pub struct Streams<'fd> {
    /// Standard input.
    pub stdin: BorrowedFd<'fd>,
    /// Standard output.
    pub stdout: BorrowedFd<'fd>,
    /// Standard error.
    pub stderr: BorrowedFd<'fd>,
}

/// Starts a program in a sandbox of its own inside the network namespace `network`; [`Start::finish`] tells whether it runs.
///
/// The caller must be PID 1 (or a subreaper), which inherits the program, with a `reaper` that collects it and the helper process. To be
/// called inside a tokio runtime of one thread. Takes a millisecond or two: not for an async worker.
///
/// # Errors
/// When no helper can be started.
pub fn spawn(
    reaper: &Reaper,
    spec: &SandboxSpec,
    network: BorrowedFd<'_>,
    streams: Streams<'_>,
) -> Result<Start, Failure> {
    let fds = [streams.stdin, streams.stdout, streams.stderr, network];
    Start::begin(reaper, &Request::Spawn(Box::new(spec.clone())), &fds)
}

/// Runs a further program in the sandbox whose first process is `target`. Like [`spawn`] in all else.
///
/// # Errors
/// As [`spawn`]; also when `target` has ended.
pub fn exec_in(
    reaper: &Reaper,
    target: Pid,
    spec: &ExecSpec,
    streams: Streams<'_>,
) -> Result<Start, Failure> {
    let target = super::sys::pidfd_open(target)
        .step(|| format!("{}: hold its first process", spec.name))
        .map_err(|failure| failure.remedy("it is not running; `netns-setup ps` shows what is"))?;
    let fds = [
        streams.stdin,
        streams.stdout,
        streams.stderr,
        target.as_fd(),
    ];
    Start::begin(reaper, &Request::Exec(Box::new(spec.clone())), &fds)
}

/// Runs a program of the machine in the network namespace `network`: as the lab's root, in a copy of the lab's own mounts. Like
/// [`spawn`] in all else. This is no sandbox.
///
/// # Errors
/// As [`spawn`].
pub fn visit(
    reaper: &Reaper,
    network: BorrowedFd<'_>,
    spec: &ExecSpec,
    streams: Streams<'_>,
) -> Result<Start, Failure> {
    let fds = [streams.stdin, streams.stdout, streams.stderr, network];
    Start::begin(reaper, &Request::Visit(Box::new(spec.clone())), &fds)
}

/// Takes over the process if it was started as a sandbox's helper. Must be the first thing that `main` does.
#[must_use]
pub fn intercept() -> Option<ExitCode> {
    let is_helper = std::env::args_os()
        .nth(1)
        .is_some_and(|argument| argument == SUBCOMMAND);
    is_helper.then(init::main)
}
