//! Control groups of version 2 in a group that was given to the user: no controller is needed to make, join, kill in and remove
//! groups, so this is tried on machines with the hybrid hierarchy too.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use netns_setup::compose::Limits;
use netns_setup::kernel::cgroup::{Ground, LabGroups, Version, guardian};
use netns_setup::kernel::enter::Launched;
use netns_setup::kernel::reaper::Exit;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};

use crate::lab::Lab;

/// Names the group that was given.
const GIVEN: &str = "UNDERLAY_GIVEN_GROUP";
/// Below it, the group that a scenario begins in.
const START: &str = "start";
/// Where version 2 is mounted: alone, or beside version 1.
const TOPS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// What helps where it is not.
const MOUNT: &str =
    "mount it: mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 none /sys/fs/cgroup/unified";
/// What helps where it is read-only.
const WRITABLE: &str = "a container needs --privileged and --cgroupns=private";
/// How long processes may take to end that have been told to.
const PATIENCE: Duration = Duration::from_secs(10);

/// The scenarios that want a group, each to be run in one of its own.
pub(crate) const NAMES: [&str; 2] = [
    "groups_of_version_2_hold_a_sandbox",
    "a_guardian_removes_what_a_launcher_left",
];

/// A group that root gives to `user`, for a scenario to be run in. Removed when dropped, with whatever is left in it.
pub(crate) struct Given(PathBuf);

impl Given {
    /// Makes one, as root can wherever version 2 is mounted.
    pub(crate) fn to(user: u32) -> Result<Self, String> {
        let top = TOPS
            .into_iter()
            .map(Path::new)
            .find(|top| top.join("cgroup.controllers").exists())
            .ok_or_else(|| format!("no control groups of version 2 at {TOPS:?}; {MOUNT}"))?;
        Self::below(top, user).map_err(|error| {
            format!(
                "no control group can be made in {}: {error}; {WRITABLE}",
                top.display()
            )
        })
    }

    fn below(top: &Path, user: u32) -> io::Result<Self> {
        let group = top.join(format!("netns-given-{}-{user}", std::process::id()));
        fs::create_dir(&group)?;
        let given = Self(group);
        fs::create_dir(given.start())?;
        for folder in [given.0.clone(), given.start()] {
            for file in ["", "cgroup.procs", "cgroup.subtree_control"] {
                std::os::unix::fs::chown(folder.join(file), Some(user), Some(user))?;
            }
        }
        Ok(given)
    }

    /// Where the scenario begins.
    fn start(&self) -> PathBuf {
        self.0.join(START)
    }

    /// Runs the scenario inside the group, which has to be as empty afterwards as it was before; whether it passed.
    pub(crate) fn run(&self, mut scenario: Command) -> bool {
        let scenario = scenario.env(GIVEN, &self.0).stdin(Stdio::piped());
        let Ok(mut child) = scenario.spawn() else {
            return false;
        };
        fs::write(self.start().join("cgroup.procs"), child.id().to_string()).unwrap();
        writeln!(child.stdin.take().unwrap()).unwrap();
        let passed = child.wait().is_ok_and(|status| status.success());
        // A guardian may be ending just now.
        let left = match empty(&self.0) {
            true => folders(&self.0),
            false => vec![self.0.clone()],
        };
        let left: Vec<&PathBuf> = left.iter().filter(|left| **left != self.start()).collect();
        if !left.is_empty() {
            println!("left behind, or with a process in it after {PATIENCE:?}: {left:?}");
        }
        passed && left.is_empty()
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        // What a scenario that failed has left.
        let killed = fs::write(self.0.join("cgroup.kill"), "1");
        let mut inner = folders(&self.0);
        inner.sort_by_key(|folder| std::cmp::Reverse(folder.components().count()));
        let removed = match empty(&self.0) {
            true => inner.iter().chain([&self.0]).try_for_each(fs::remove_dir),
            false => Err(io::ErrorKind::ResourceBusy.into()),
        };
        if let Err(error) = removed.and(killed) {
            let message = format!("{} stays: {error}; remove it by rmdir", self.0.display());
            assert!(std::thread::panicking(), "{message}");
            println!("{message}");
        }
    }
}

/// Waits for the word that this process has been put where [`Given::run`] puts it, if it is to be.
pub(crate) fn arrive() {
    if std::env::var_os(GIVEN).is_some() {
        io::stdin()
            .read_exact(&mut [0])
            .expect("whoever moves it is gone");
    }
}

/// Every group below `folder`.
fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .flat_map(|entry| {
            let path = entry.path();
            let mut all = folders(&path);
            all.push(path);
            all
        })
        .collect()
}

/// Waits until no process is left in a group and in those below; whether that has come about. The kernel tells of each change of the
/// file (`cgroup-v2.rst`, "populated").
fn empty(group: &Path) -> bool {
    let mut events = fs::File::open(group.join("cgroup.events")).unwrap();
    loop {
        let mut text = String::new();
        events.seek(SeekFrom::Start(0)).unwrap();
        events.read_to_string(&mut text).unwrap();
        if text.contains("populated 0") {
            return true;
        }
        let mut changes = [PollFd::new(events.as_fd(), PollFlags::POLLPRI)];
        if poll(&mut changes, PollTimeout::try_from(PATIENCE).unwrap()).unwrap() == 0 {
            return false;
        }
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
    assert_eq!(running.end(), Exit::Signal(libc::SIGKILL));
    drop(further);
    netns_setup::kernel::cgroup::sweep(&groups.folders()).unwrap();
    assert!(!folder.exists());
}

pub(crate) fn wait_to_be_killed(lab: &mut Lab) {
    lab.messages.write_all(b"r").unwrap();
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
    fs::write(given().join(START).join("cgroup.procs"), "0").unwrap();
}
