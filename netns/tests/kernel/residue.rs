//! When the lab's first process is killed, the kernel takes back everything.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;

use netns_setup::kernel::build;
use netns_setup::kernel::enter::Launched;
use nix::sys::signal::{Signal, kill};

use crate::lab::{Lab, bind, output};
use crate::network::shop;

pub(crate) fn fills_a_lab(lab: &mut Lab) {
    let (_, plan) = shop(lab);
    let _network = build(&plan).unwrap();
    let volume = lab.volume("data");
    let sleeper = lab.spec(&["sleep", "1000"], vec![bind(&volume, "/data", false)]);
    let first = lab.start(&sleeper).unwrap();
    let _second = lab.start(&sleeper).unwrap();
    let _third = lab.exec(&first, &["/bin/sleep", "1000"]).unwrap();
    fs::write(volume.join("kept"), "kept").unwrap();
    writeln!(lab.messages, "{}", lab.folder.path().display()).unwrap();
    loop {
        nix::unistd::pause();
    }
}

pub(crate) fn kills_it(launched: &mut Launched, _: SocketAddr) {
    let before = Host::read();
    let mut folder = Vec::new();
    let mut byte = [0];
    while launched.messages.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
        folder.push(byte[0]);
    }
    assert_eq!(
        Host::read(),
        before,
        "a lab that is up shows nowhere on the host"
    );
    let processes = descendants(launched.pid.as_raw());
    assert!(processes.len() >= 4, "{processes:?}");
    let networks: BTreeSet<_> = processes
        .iter()
        .filter_map(|pid| network_of(*pid))
        .collect();
    assert!(!networks.contains(&network_of(std::process::id().cast_signed()).unwrap()));

    kill(launched.pid, Signal::SIGKILL).unwrap();
    launched.wait().unwrap();
    // The namespace's end is awaited by the kernel before PID 1's own is announced: all others are gone already.
    for pid in processes
        .iter()
        .filter(|pid| **pid != launched.pid.as_raw())
    {
        assert!(
            !Path::new(&format!("/proc/{pid}")).exists(),
            "{pid} is still there"
        );
    }
    for pid in numbers_in_proc() {
        assert!(
            network_of(pid).is_none_or(|network| !networks.contains(&network)),
            "{pid}"
        );
    }
    assert_eq!(Host::read(), before);
    let folder = String::from_utf8(folder).unwrap();
    let kept = fs::read_to_string(Path::new(&folder).join("data/kept")).unwrap();
    assert_eq!(kept, "kept", "volumes survive");
    fs::remove_dir_all(folder).unwrap();
}

/// What a lab could leave behind on the host.
#[derive(Debug, PartialEq, Eq)]
struct Host {
    links: BTreeSet<String>,
    rules: Option<String>,
    mounts: String,
}

impl Host {
    fn read() -> Self {
        Self {
            // Without uplinks: other labs that root runs come and go, and this one is entered without.
            links: output(&["ip", "-br", "link"])
                .lines()
                .filter(|line| !line.starts_with("ul-"))
                .map(str::to_owned)
                .collect(),
            // Only root may look.
            rules: nix::unistd::geteuid()
                .is_root()
                .then(|| output(&["nft", "-j", "list", "ruleset"])),
            mounts: fs::read_to_string("/proc/self/mounts").unwrap(),
        }
    }
}

fn numbers_in_proc() -> Vec<i32> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

fn parent_of(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.split(' ').nth(1)?.parse().ok()
}

fn network_of(pid: i32) -> Option<std::path::PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/net")).ok()
}

fn descendants(root: i32) -> BTreeSet<i32> {
    let mut family = BTreeSet::from([root]);
    loop {
        let more: Vec<_> = numbers_in_proc()
            .into_iter()
            .filter(|pid| {
                !family.contains(pid)
                    && parent_of(*pid).is_some_and(|parent| family.contains(&parent))
            })
            .collect();
        if more.is_empty() {
            return family;
        }
        family.extend(more);
    }
}
