//! Runs a program in a sandbox that is up.
//!
//! Whoever is in that sandbox is not trusted, and shares a user id with the process that is on its way in. Until that process
//! is the program it is not dumpable (`prctl(2)`), so its memory, descriptors and binary cannot be reached through `/proc` (the way
//! of CVE-2019-5736).

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use nix::sched::{CloneFlags, setns};
use nix::sys::prctl::set_dumpable;

use super::init::{cgroup_namespace, fork_program};
use super::seccomp::Filter;
use super::wire::DESCRIPTORS;
use super::{ExecSpec, console, privileges, program};
use crate::kernel::failure::{Failure, Step};
use crate::kernel::identity::Identity;

pub(super) fn exec(
    spec: &ExecSpec,
    fds: [OwnedFd; DESCRIPTORS],
    socket: &UnixStream,
) -> Result<(), Failure> {
    let [stdin, stdout, stderr, target] = fds;
    let filter = Filter::compile()?;
    let identity = Identity::current().step(|| "read the lab's id map".into())?;
    set_dumpable(false).step(|| "close itself to others".into())?;
    // The sandbox shows no control groups.
    let group = spec.group.open()?;
    setns(
        &target,
        CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWNS
            | cgroup_namespace(),
    )
    .step(|| "enter the sandbox".into())
    .map_err(|failure| failure.remedy("it may have ended meanwhile; `netns-setup ps` shows it"))?;
    fork_program(socket, || {
        group.enter()?;
        privileges::limit(&spec.limits)?;
        privileges::become_sandbox_user(identity)?;
        privileges::new_session()?;
        // By the sandbox's user, to whom the terminal's file then belongs.
        let standard = console::standard([stdin, stdout, stderr], spec.terminal)?;
        setns(&target, CloneFlags::CLONE_NEWUSER).step(|| "enter its user namespace".into())?;
        drop(target);
        privileges::drop_all()?;
        program::execute(&spec.argv, &spec.env, &spec.cwd, &standard, Some(&filter))
    })
}
