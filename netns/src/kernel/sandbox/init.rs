//! The helper process: prepares the namespaces and forks the process that becomes the program.

use std::io::{Read, Write, pipe};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;

use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{ForkResult, sethostname};

use super::seccomp::Filter;
use super::wire::{self, DESCRIPTORS, Report, Request};
use super::{SandboxSpec, console, join, privileges, program, root, visit};
use crate::kernel::failure::{Failure, Step};
use crate::kernel::identity::Identity;
use crate::kernel::propagation::keep_mounts_to_itself;
use crate::kernel::sys;

/// `main` of the helper. Its standard input is the socket to PID 1.
pub(super) fn main() -> ExitCode {
    let Ok(socket) = std::io::stdin().as_fd().try_clone_to_owned() else {
        return ExitCode::FAILURE;
    };
    let socket = UnixStream::from(socket);
    let outcome = wire::receive(&socket)
        .step(|| "receive the request".into())
        .and_then(|(request, fds)| match request {
            Request::Spawn(spec) => spawn(&spec, fds, &socket),
            Request::Exec(spec) => join::exec(&spec, fds, &socket),
            Request::Visit(spec) => visit::exec(&spec, fds, &socket),
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            wire::report(&socket, &Report::Failed(failure));
            ExitCode::FAILURE
        }
    }
}

fn spawn(
    spec: &SandboxSpec,
    fds: [OwnedFd; DESCRIPTORS],
    socket: &UnixStream,
) -> Result<(), Failure> {
    let [stdin, stdout, stderr, network] = fds;
    let filter = Filter::compile()?;
    setns(&network, CloneFlags::CLONE_NEWNET).step(|| "enter its network namespace".into())?;
    drop(network);
    unshare(
        CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS,
    )
    .step(|| "unshare mount, PID, IPC and UTS namespaces".into())?;
    fork_program(socket, || {
        inhabit(spec)?;
        let standard = console::standard([stdin, stdout, stderr], spec.terminal)?;
        program::execute(&spec.argv, &spec.env, &spec.cwd, &standard, Some(&filter))
    })
}

/// Forks; the parent reports the child's pid, and then the child runs `become_program`, which only returns with a failure. A child whose
/// parent ends before that ends too: nothing runs that PID 1 has not heard of.
pub(super) fn fork_program(
    socket: &UnixStream,
    become_program: impl FnOnce() -> Result<std::convert::Infallible, Failure>,
) -> Result<(), Failure> {
    let (mut go, mut starter) = pipe().step(|| "make a pipe".into())?;
    match sys::fork().step(|| "fork the program's process".into())? {
        ForkResult::Parent { child } => {
            wire::report(socket, &Report::Started(child.as_raw()));
            starter
                .write_all(b"g")
                .step(|| "let the program's process go on".into())
        }
        ForkResult::Child => {
            drop(starter);
            if go.read_exact(&mut [0]).is_err() {
                sys::exit_now(127)
            }
            drop(go);
            let Err(failure) = become_program();
            wire::report(socket, &Report::Failed(failure));
            sys::exit_now(127)
        }
    }
}

/// The flag for a cgroup namespace, where the kernel has them.
pub(super) fn cgroup_namespace() -> CloneFlags {
    if Path::new("/proc/self/ns/cgroup").exists() {
        CloneFlags::CLONE_NEWCGROUP
    } else {
        CloneFlags::empty()
    }
}

/// PID 1 of the sandbox, from the lab's root user down to nobody in particular.
fn inhabit(spec: &SandboxSpec) -> Result<(), Failure> {
    spec.group.join()?;
    unshare(cgroup_namespace()).step(|| "unshare its cgroup namespace".into())?;
    sethostname(&spec.hostname).step(|| "set its host name".into())?;
    keep_mounts_to_itself().step(|| "make its mounts private".into())?;
    let identity = Identity::current().step(|| "read the lab's id map".into())?;
    let limits = root::build(spec)?;
    privileges::limit(&spec.limits)?;
    privileges::become_sandbox_user(identity)?;
    privileges::new_session()?;
    privileges::own_user_namespace(identity, &limits)?;
    privileges::drop_all()
}
