//! From the lab's root user to a user with no rights at all, one way.

use std::fs;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};

use caps::CapSet;
use nix::fcntl::{OFlag, openat};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::{set_dumpable, set_no_new_privs};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid, setsid};

use super::ProcessLimits;
use crate::kernel::failure::{Failure, Step};
use crate::kernel::identity::{Identity, SANDBOX_ID};

/// Starts a session without a terminal. Its keyring is the lab's, which is closed (see `enter`): one of its own would be one key of the
/// few that a user may have (`kernel.keys.maxkeys`) for each service, and each program that comes in.
pub(super) fn new_session() -> Result<(), Failure> {
    setsid().map(drop).step(|| "start a session".into())
}

/// Sets the limits of the process and its file mode mask.
pub(super) fn limit(limits: &ProcessLimits) -> Result<(), Failure> {
    let (_, granted) = getrlimit(Resource::RLIMIT_NOFILE).step(|| "read its limits".into())?;
    let open_files = limits.open_files.min(granted);
    setrlimit(Resource::RLIMIT_NOFILE, open_files, open_files)
        .and_then(|()| setrlimit(Resource::RLIMIT_CORE, 0, 0))
        .step(|| "set its limits".into())?;
    umask(Mode::from_bits_truncate(0o022));
    Ok(())
}

/// Becomes the sandboxes' user as the kernel counts: under root a real `setresuid`; rootless there is one id only, the caller's,
/// and it is had already.
pub(super) fn become_sandbox_user(identity: Identity) -> Result<(), Failure> {
    if identity == Identity::Rootless {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(SANDBOX_ID), Gid::from_raw(SANDBOX_ID));
    setgroups(&[]).step(|| "leave the supplementary groups".into())?;
    setresgid(gid, gid, gid).step(|| "become group 65532".into())?;
    setresuid(uid, uid, uid).step(|| "become user 65532".into())
}

/// Enters a user namespace in which only 65532 exists and in which no further one can be made.
pub(super) fn own_user_namespace(identity: Identity, limits: &OwnedFd) -> Result<(), Failure> {
    // A change of user made /proc/self root's, and the id maps are written there. Nobody else is in this PID namespace yet.
    set_dumpable(true).step(|| "own /proc/self".into())?;
    unshare(CloneFlags::CLONE_NEWUSER).step(|| "unshare its user namespace".into())?;
    let map = format!("{SANDBOX_ID} {} 1\n", identity.sandbox_owner());
    for (file, text) in [
        ("uid_map", map.as_str()),
        ("setgroups", "deny"),
        ("gid_map", map.as_str()),
    ] {
        fs::write(format!("/proc/self/{file}"), text).step(|| format!("write its {file}"))?;
    }
    // The limit is the opener's user namespace's own (`namespaces(7)`), whoever mounted /proc.
    let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    openat(limits.as_fd(), "max_user_namespaces", flags, Mode::empty())
        .map_err(std::io::Error::from)
        .and_then(|file| fs::File::from(file).write_all(b"0"))
        .step(|| "forbid further user namespaces".into())
}

/// Gives up every capability in every set, and the means to gain any by `exec`.
pub(super) fn drop_all() -> Result<(), Failure> {
    set_no_new_privs().step(|| "set no_new_privs".into())?;
    // The bounding set first: emptying it needs a capability.
    for set in [
        CapSet::Bounding,
        CapSet::Ambient,
        CapSet::Inheritable,
        CapSet::Effective,
        CapSet::Permitted,
    ] {
        caps::clear(None, set).map_err(|error| {
            Failure::of(format!("drop the {set:?} capabilities"), error.to_string())
        })?;
    }
    Ok(())
}
