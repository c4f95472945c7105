//! Where on this machine, and for this caller, a lab's groups may be made.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access, geteuid};

use super::candidate::{Candidate, choose};
use super::hierarchy::{Controller, Mounted, Version, detect};
use crate::kernel::sys;

/// What a limit can be set with.
const LIMITING: [Controller; 3] = [Controller::Cpu, Controller::Memory, Controller::Pids];

/// Marks by which a service manager says that a group was given away (systemd, `CGROUP_DELEGATION.md`).
const MARKS: [&str; 2] = ["user.delegate", "trusted.delegate"];
/// A user's own service manager sets no marks in some versions (systemd 252), and is asked then.
const ASK: [&str; 5] = [
    "systemctl",
    "--user",
    "show",
    "--property=Delegate",
    "--value",
];

/// A group in which a lab's group may be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Site {
    pub(super) version: Version,
    pub(super) controllers: BTreeSet<Controller>,
    pub(super) parent: PathBuf,
    /// The caller is in it and has to leave it first.
    pub(super) leave: bool,
}

/// Where a lab's groups may be made: a place for each hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ground {
    pub(super) sites: Vec<Site>,
}

/// Why limits, or some of them, are not enforced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unenforced {
    /// Why, as a clause.
    pub reason: String,
    /// What a person can do.
    pub remedy: Option<String>,
}

impl fmt::Display for Unenforced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

impl Ground {
    /// One group of the caller's choice, for those who know what they have.
    #[must_use]
    pub fn at(version: Version, controllers: &[Controller], parent: &Path, leave: bool) -> Self {
        Self {
            sites: vec![Site {
                version,
                controllers: controllers.iter().copied().collect(),
                parent: parent.to_owned(),
                leave,
            }],
        }
    }

    /// What can be limited.
    #[must_use]
    pub fn controllers(&self) -> BTreeSet<Controller> {
        self.sites
            .iter()
            .flat_map(|site| site.controllers.iter().copied())
            .collect()
    }

    /// What cannot, in the words of the Compose file.
    #[must_use]
    pub fn missing(&self) -> Option<Unenforced> {
        let have = self.controllers();
        let words: Vec<&str> = LIMITING
            .into_iter()
            .filter(|controller| !have.contains(controller))
            .map(|controller| match controller {
                Controller::Cpu | Controller::CpuAcct => "cpus",
                other => other.name(),
            })
            .collect();
        (!words.is_empty()).then(|| Unenforced {
            reason: format!("{}: no controller for it here", words.join(", ")),
            remedy: None,
        })
    }
}

/// Looks where the caller's groups may be made. Changes nothing.
///
/// # Errors
/// Nowhere, and why.
pub fn survey() -> Result<Ground, Unenforced> {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let mounts = detect(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"));
    let mut sites = Vec::new();
    let mut refusals = Vec::new();
    for mounted in &mounts {
        match mounted.version {
            Version::V1 => match may_divide(&mounted.own, Version::V1) {
                Ok(()) => sites.push(Site {
                    version: Version::V1,
                    controllers: mounted.controllers.clone(),
                    parent: mounted.own.clone(),
                    leave: false,
                }),
                Err(errno) => refusals.push((Version::V1, errno)),
            },
            Version::V2 => {
                let candidates = candidates(mounted);
                match choose(&candidates) {
                    Some((candidate, leave)) => sites.push(Site {
                        version: Version::V2,
                        controllers: candidate.controllers.clone(),
                        parent: candidate.folder.clone(),
                        leave,
                    }),
                    // A hierarchy without a controller of interest, beside those of v1, refuses nothing.
                    None if candidates.iter().any(|each| !each.controllers.is_empty()) => {
                        let own = may_divide(&mounted.own, Version::V2);
                        refusals.push((Version::V2, own.err().unwrap_or(Errno::EBUSY)));
                    }
                    None => {}
                }
            }
        }
    }
    let ground = Ground { sites };
    if LIMITING
        .iter()
        .any(|controller| ground.controllers().contains(controller))
    {
        return Ok(ground);
    }
    Err(refused(&refusals, geteuid().is_root()))
}

/// Whether the caller may make groups in `folder` and move processes there.
fn may_divide(folder: &Path, version: Version) -> Result<(), Errno> {
    access(folder, AccessFlags::W_OK)?;
    access(&folder.join("cgroup.procs"), AccessFlags::W_OK)?;
    match version {
        Version::V1 => Ok(()),
        Version::V2 => access(&folder.join("cgroup.subtree_control"), AccessFlags::W_OK),
    }
}

/// The groups from the caller's own to the topmost.
fn candidates(mounted: &Mounted) -> Vec<Candidate> {
    let own_pid = std::process::id().to_string();
    mounted
        .own
        .ancestors()
        .take_while(|folder| folder.starts_with(&mounted.top))
        .map(|folder| {
            let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap_or_default();
            let is_writable = may_divide(folder, Version::V2).is_ok();
            let has_mark = || MARKS.iter().any(|mark| sys::has_attribute(folder, mark));
            Candidate {
                folder: folder.to_owned(),
                is_writable,
                is_marked: is_writable && (has_mark() || is_delegated(folder)),
                // "exists on non-root cgroups" (cgroup-v2.rst, "Core Interface Files")
                is_root: !folder.join("cgroup.type").exists(),
                is_own: folder == mounted.own,
                has_others: read("cgroup.procs").lines().any(|pid| pid != own_pid),
                controllers: read("cgroup.controllers")
                    .split_whitespace()
                    .filter_map(Controller::named)
                    .collect(),
            }
        })
        .collect()
}

/// What the user's service manager says of the unit that the group is. Whoever has no such manager has no such group.
fn is_delegated(folder: &Path) -> bool {
    let Some(unit) = folder.file_name().and_then(|name| name.to_str()) else {
        return false;
    };
    let is_leaf = unit.ends_with(".scope") || unit.ends_with(".service");
    let [program, arguments @ ..] = ASK;
    is_leaf
        && !geteuid().is_root()
        && Command::new(program)
            .args(arguments)
            .arg(unit)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .is_ok_and(|output| output.stdout.trim_ascii() == b"yes")
}

fn refused(refusals: &[(Version, Errno)], is_root: bool) -> Unenforced {
    let (reason, remedy) = match refusals.first() {
        None => (
            "no control groups for processor time, memory or processes are mounted",
            Some("`netns-setup doctor` looks at the machine"),
        ),
        Some((_, Errno::EROFS)) => (
            "the control groups are mounted read-only, as in a container",
            Some("a container needs --privileged and --cgroupns=private"),
        ),
        Some((Version::V1, _)) if !is_root => (
            "control groups of version 1 are root's",
            Some("run it as root, or boot with systemd.unified_cgroup_hierarchy=1"),
        ),
        Some((Version::V2, _)) if !is_root => (
            "no control group is delegated to this command",
            Some("put `systemd-run --user --scope -p Delegate=yes` before it"),
        ),
        Some((Version::V2, Errno::EBUSY)) => (
            "every control group that could be divided has processes of its own",
            Some("put `systemd-run --scope -p Delegate=yes` before it"),
        ),
        Some((_, errno)) => {
            return Unenforced {
                reason: format!("the control groups may not be written: {}", errno.desc()),
                remedy: None,
            };
        }
    };
    Unenforced {
        reason: reason.to_owned(),
        remedy: remedy.map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_do() {
        let said = |refusals: &[(Version, Errno)], is_root| refused(refusals, is_root).to_string();
        assert_eq!(
            said(&[(Version::V1, Errno::EACCES)], false),
            "control groups of version 1 are root's; run it as root, or boot with systemd.unified_cgroup_hierarchy=1"
        );
        assert!(said(&[(Version::V2, Errno::EACCES)], false).contains("systemd-run --user"));
        assert!(said(&[(Version::V2, Errno::EBUSY)], true).contains("systemd-run --scope"));
        assert!(said(&[(Version::V1, Errno::EROFS)], true).contains("read-only"));
        assert!(said(&[], true).contains("mounted"));
    }

    #[test]
    fn what_cannot_be_limited_is_named_as_in_the_file() {
        let ground = |controllers: &[Controller]| {
            Ground::at(Version::V2, controllers, Path::new("/c"), false)
        };
        let said = ground(&[Controller::Memory]).missing().unwrap().to_string();
        assert_eq!(said, "cpus, pids: no controller for it here");
        assert_eq!(ground(&LIMITING).missing(), None);
    }

    #[test]
    fn looking_changes_nothing_and_says_something() {
        match survey() {
            Ok(ground) => assert!(!ground.sites.is_empty()),
            Err(unenforced) => assert!(!unenforced.reason.is_empty()),
        }
    }
}
