//! What is written to a group of version 2, and read from it: plain folders play the hierarchy, with the files that the kernel would
//! have put there. Whether the kernel heeds them is shown where version 2 limits (`make test-vm`).

use std::fs;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::compose::Limits;

const LIMITING: [Controller; 3] = [Controller::Cpu, Controller::Memory, Controller::Pids];
const FILES: [&str; 4] = ["cpu.max", "memory.max", "memory.swap.max", "pids.max"];
const SHOP: Limits = Limits {
    cpus: Some(0.5),
    memory: Some(128 << 20),
    pids: Some(64),
};

/// A group that may be divided, and a lab's group in it, which the kernel has filled with files.
struct Played {
    folder: TempDir,
    groups: LabGroups,
}

impl Played {
    fn new(controllers: &[Controller], handed_on: &str, leave: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ground = Ground::at(Version::V2, controllers, folder.path(), leave);
        let groups = LabGroups::new(&ground, "shop", folder.path()).unwrap();
        fs::write(folder.path().join("cgroup.subtree_control"), handed_on).unwrap();
        for group in groups.folders() {
            fs::create_dir(&group).unwrap();
            for file in ["cgroup.subtree_control", "cgroup.procs"] {
                fs::write(group.join(file), "").unwrap();
            }
        }
        Self { folder, groups }
    }

    /// The group of an instance with these empty files: the group, and where it is.
    fn instance(&self, files: &[&str]) -> (Group, std::path::PathBuf) {
        let folder = self.groups.folders()[0].join("redis-1");
        fs::create_dir(&folder).unwrap();
        for file in files.iter().chain(&["cgroup.procs"]) {
            fs::write(folder.join(file), "").unwrap();
        }
        (self.groups.instance("redis-1"), folder)
    }
}

fn read(folder: &Path, file: &str) -> Option<String> {
    fs::read_to_string(folder.join(file)).ok()
}

fn all(folder: &Path) -> [Option<String>; 4] {
    FILES.map(|file| read(folder, file))
}

#[test]
fn limits_are_written_to_the_files_that_the_kernel_has_for_them() {
    let played = Played::new(&LIMITING, "", false);
    let (group, folder) = played.instance(&FILES);
    group.create(&SHOP).unwrap();
    let written = ["50000 100000", "134217728", "134217728", "64"];
    assert_eq!(all(&folder), written.map(|text| Some(text.to_owned())));
}

#[test]
fn what_is_not_limited_is_written_as_free() {
    let played = Played::new(&LIMITING, "", false);
    let (group, folder) = played.instance(&FILES);
    group.create(&Limits::default()).unwrap();
    let written = ["max 100000", "max", "max", "max"];
    assert_eq!(all(&folder), written.map(|text| Some(text.to_owned())));
}

#[test]
fn a_kernel_may_lack_the_file_for_swap_and_no_other() {
    let played = Played::new(&LIMITING, "", false);
    let (group, folder) = played.instance(&["cpu.max", "memory.max", "pids.max"]);
    group.create(&SHOP).unwrap();
    assert_eq!(read(&folder, "memory.swap.max"), None, "it is not made");

    for missing in ["cpu.max", "memory.max", "pids.max"] {
        let played = Played::new(&LIMITING, "", false);
        let there: Vec<&str> = FILES.into_iter().filter(|file| *file != missing).collect();
        let (group, folder) = played.instance(&there);
        let failure = group.create(&SHOP).unwrap_err();
        assert!(failure.step.contains(missing), "{failure}");
        assert_eq!(failure.errno, libc::ENOENT);
        assert_eq!(read(&folder, missing), None, "it is not made");
    }
}

#[test]
fn a_controller_that_is_not_there_is_left_alone() {
    let played = Played::new(&[Controller::Pids], "", false);
    let (group, folder) = played.instance(&FILES);
    group.create(&SHOP).unwrap();
    let written = ["", "", "", "64"];
    assert_eq!(all(&folder), written.map(|text| Some(text.to_owned())));
    let enforced = Limits {
        pids: SHOP.pids,
        ..Limits::default()
    };
    assert_eq!(played.groups.enforced(&SHOP), enforced);
}

#[test]
fn controllers_are_handed_on_to_the_lab_and_to_its_instances() {
    for controller in LIMITING {
        let played = Played::new(&[controller], "", false);
        played.groups.create().unwrap();
        let wanted = Some(format!("+{}", controller.name()));
        for folder in [played.folder.path(), &played.groups.folders()[0]] {
            assert_eq!(read(folder, "cgroup.subtree_control"), wanted);
        }
    }
    // Whoever delegated the group has handed it on already, and may be the only one who may.
    let played = Played::new(&[Controller::Memory], "cpu memory\n", false);
    played.groups.create().unwrap();
    let above = read(played.folder.path(), "cgroup.subtree_control");
    assert_eq!(above.as_deref(), Some("cpu memory\n"));
    let own = read(&played.groups.folders()[0], "cgroup.subtree_control");
    assert_eq!(own.as_deref(), Some("+memory"));
}

#[test]
fn a_process_goes_into_its_group_and_leaves_one_that_is_to_be_divided() {
    let played = Played::new(&LIMITING, "", true);
    let (group, folder) = played.instance(&FILES);
    group.membership().join().unwrap();
    assert_eq!(read(&folder, "cgroup.procs").as_deref(), Some("0"));
    let [own, leaf] = &played.groups.folders()[..] else {
        panic!("a group and a leaf");
    };
    played.groups.leave_for_leaf().unwrap();
    assert_eq!(read(leaf, "cgroup.procs").as_deref(), Some("0"));
    assert_eq!(read(own, "cgroup.procs").as_deref(), Some(""));
}

#[test]
fn what_the_kernel_has_counted_is_read() {
    let played = Played::new(&LIMITING, "", false);
    let (group, folder) = played.instance(&FILES);
    for (file, text) in [
        // As Linux 6.1 writes them.
        (
            "cpu.stat",
            "usage_usec 1500000\nuser_usec 900000\nsystem_usec 600000\nnr_periods 90\nnr_throttled 7\nthrottled_usec 250000\n",
        ),
        ("memory.current", "5000000\n"),
        (
            "memory.stat",
            "anon 3000000\nfile 2000000\ninactive_file 2000000\n",
        ),
        (
            "memory.events",
            "low 0\nhigh 0\nmax 9\noom 3\noom_kill 2\noom_group_kill 0\n",
        ),
        ("pids.current", "4\n"),
    ] {
        fs::write(folder.join(file), text).unwrap();
    }
    let used = Usage {
        cpu: Some(Duration::from_millis(1_500)),
        memory: Some(3_000_000),
        pids: Some(4),
        throttled_periods: Some(7),
        throttled: Some(Duration::from_millis(250)),
        oom_kills: Some(2),
    };
    assert_eq!(group.usage(), used);
    // Of what no controller is there for nothing is read, whatever is in the folder.
    let partly = Ground::at(
        Version::V2,
        &[Controller::Pids],
        played.folder.path(),
        false,
    );
    let partly = LabGroups::new(&partly, "shop", played.folder.path()).unwrap();
    let pids = Usage {
        pids: Some(4),
        ..Usage::default()
    };
    assert_eq!(partly.instance("redis-1").usage(), pids);
}
