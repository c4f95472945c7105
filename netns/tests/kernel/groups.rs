//! Control groups of version 2 in a group that was given to the user: no controller is needed to make, join, kill in and remove
//! groups, so this is tried on machines with the hybrid hierarchy too.

use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use netns_setup::compose::Limits;
use netns_setup::kernel::cgroup::{Ground, LabGroups, Version, guardian};
use netns_setup::kernel::enter::Launched;
use netns_setup::kernel::reaper::Exit;
use nix::sys::signal::{Signal, kill};

use crate::lab::{Lab, end_of};

/// Names the group that was given.
const GIVEN: &str = "UNDERLAY_GIVEN_GROUP";

/// The scenarios that want a group, each to be run in one of its own.
pub(crate) const NAMES: [&str; 2] = [
    "groups_of_version_2_hold_a_sandbox",
    "a_guardian_removes_what_a_launcher_left",
];

/// A group that root gives to `user`, for scenarios to be run in. Removed when dropped.
pub(crate) struct Given(PathBuf);

impl Given {
    /// Makes one. `None` where version 2 is not mounted, or root is not there to give.
    pub(crate) fn to(user: u32) -> Option<Self> {
        let top = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
            .into_iter()
            .map(Path::new)
            .find(|top| top.join("cgroup.controllers").exists())?;
        let given = Self(top.join(format!("netns-given-{}-{user}", std::process::id())));
        for folder in [given.0.clone(), given.0.join("start")] {
            fs::create_dir(&folder).ok()?;
            for file in ["", "cgroup.procs", "cgroup.subtree_control"] {
                std::os::unix::fs::chown(folder.join(file), Some(user), Some(user)).unwrap();
            }
        }
        Some(given)
    }

    /// Runs the scenario inside the group; whether it passed.
    pub(crate) fn run(&self, mut scenario: Command) -> bool {
        let Ok(mut child) = scenario.env(GIVEN, &self.0).spawn() else {
            return false;
        };
        fs::write(self.0.join("start/cgroup.procs"), child.id().to_string()).unwrap();
        child.wait().is_ok_and(|status| status.success())
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        for folder in [self.0.join("start"), self.0.clone()] {
            // A guardian may be ending just now.
            for _ in 0..200 {
                if fs::remove_dir(&folder).is_ok() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// Waits until this process has been put where [`Given::run`] puts it, if it is to be.
pub(crate) fn arrive() {
    let Some(given) = std::env::var_os(GIVEN).map(PathBuf::from) else {
        return;
    };
    let name = given.file_name().unwrap().to_string_lossy().into_owned();
    while !fs::read_to_string("/proc/self/cgroup")
        .unwrap()
        .contains(&name)
    {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn given() -> PathBuf {
    std::env::var_os(GIVEN).unwrap().into()
}

fn ground(leave: bool) -> Ground {
    Ground::at(Version::V2, &[], &given(), leave)
}

pub(crate) fn hold_a_sandbox(lab: &mut Lab) {
    let groups = LabGroups::new(&ground(false), "kernel", lab.folder.path()).unwrap();
    groups.create().unwrap();
    let group = groups.instance("box-1");
    group.create(&Limits::default()).unwrap();
    let mut spec = lab.spec(
        &[
            "sh",
            "-c",
            "while read -r line; do last=$line; done </proc/self/cgroup; echo $last; exec sleep 600",
        ],
        Vec::new(),
    );
    spec.group = group.membership();
    let mut running = lab.start(&spec).unwrap();
    let mut said = [0; 32];
    let length = running.output.read(&mut said).unwrap();
    let said = String::from_utf8_lossy(&said[..length]).into_owned();
    assert_eq!(said, "0::/\n", "its own group is the topmost it sees");

    let folder = &groups.folders()[0];
    let members = || fs::read_to_string(folder.join("box-1/cgroup.procs")).unwrap();
    assert_eq!(members().lines().count(), 1, "its first process");
    let further = lab
        .exec_in_group(&running, &["sleep", "600"], group.membership())
        .unwrap();
    assert_eq!(members().lines().count(), 2, "and what exec starts");

    fs::write(folder.join("cgroup.kill"), "1").unwrap();
    assert_eq!(end_of(running.pid), Exit::Signal(libc::SIGKILL));
    drop(further);
    netns_setup::kernel::cgroup::sweep(&groups.folders()).unwrap();
    assert!(!folder.exists());
}

pub(crate) fn wait_to_be_killed(lab: &mut Lab) {
    std::io::Write::write_all(&mut lab.messages, b"r").unwrap();
    loop {
        nix::unistd::pause();
    }
}

pub(crate) fn leave_and_kill(launched: &mut Launched, _: SocketAddr) {
    launched.messages.read_exact(&mut [0]).unwrap();
    let state = tempfile::tempdir().unwrap();
    let groups = LabGroups::new(&ground(true), "kernel", state.path()).unwrap();
    groups.leave_for_leaf().unwrap();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    assert!(own.contains(".launcher"), "{own}");
    groups.create().unwrap();
    groups.instance("box-1").create(&Limits::default()).unwrap();
    let log = fs::File::open("/dev/null").unwrap();
    let folders = groups.folders();
    guardian::start(launched.pidfd.as_fd(), log.as_fd(), &folders).unwrap();
    kill(launched.pid, Signal::SIGKILL).unwrap();
    launched.wait().unwrap();
    // The launcher goes back itself; the guardian, which was started in the leaf, does too.
    netns_setup::kernel::cgroup::sweep(&folders).unwrap();
    assert!(folders.iter().all(|folder| !folder.exists()));
    // Both are now in the group that was given: back to where this process came from, so that it can be removed.
    fs::write(given().join("start/cgroup.procs"), "0").unwrap();
}
