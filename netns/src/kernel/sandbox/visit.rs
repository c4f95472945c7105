//! Runs a program of the machine in one of the lab's network namespaces: what `ip netns exec` is for namespaces that have a name.
//!
//! It is the lab's root and sees the machine's files with the rights of whoever brought the lab up. No sandbox.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};

use super::init::fork_program;
use super::wire::DESCRIPTORS;
use super::{ExecSpec, console, privileges, program};
use crate::kernel::failure::{Failure, Step};

pub(super) fn exec(
    spec: &ExecSpec,
    fds: [OwnedFd; DESCRIPTORS],
    socket: &UnixStream,
) -> Result<(), Failure> {
    let [stdin, stdout, stderr, network] = fds;
    setns(&network, CloneFlags::CLONE_NEWNET).step(|| "enter the network namespace".into())?;
    drop(network);
    // Mounts of its own: `/sys/class/net` lists the interfaces of the namespace in which sysfs was mounted.
    unshare(CloneFlags::CLONE_NEWNS).step(|| "unshare its mounts".into())?;
    let _ = mount(
        Some("sysfs"),
        "/sys",
        Some("sysfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
        None::<&str>,
    ); // refused where /sys is masked, as in a container; few programs look there
    fork_program(socket, || {
        privileges::new_session()?;
        let standard = console::standard([stdin, stdout, stderr], spec.terminal)?;
        program::execute(&spec.argv, &spec.env, &spec.cwd, &standard, None).map_err(|failure| {
            match (failure.errno, &failure.remedy) {
                // What is said of programs in a sandbox is not true here.
                (libc::ENOENT, Some(_)) => failure.remedy("it is not installed on this machine"),
                (_, Some(_)) => failure.remedy("it must be an executable program"),
                _ => failure,
            }
        })
    })
}
