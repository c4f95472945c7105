//! Which control group hierarchies there are and where in them a process is. Pure over the text of `/proc`.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The two designs of control groups. A machine may have both at once ("hybrid"), each controller being in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Version {
    /// A hierarchy for each controller or few (`cgroup-v1/cgroups.rst`).
    V1,
    /// One hierarchy for all (`cgroup-v2.rst`).
    V2,
}

/// The controllers that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Controller {
    /// Processor time: quota.
    Cpu,
    /// Processor time: account; v1 only, v2 has it without a controller.
    CpuAcct,
    /// Memory.
    Memory,
    /// Processes and threads.
    Pids,
}

impl Controller {
    /// By the kernel's name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "cpu" => Some(Self::Cpu),
            "cpuacct" => Some(Self::CpuAcct),
            "memory" => Some(Self::Memory),
            "pids" => Some(Self::Pids),
            _ => None,
        }
    }

    /// The kernel's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::CpuAcct => "cpuacct",
            Self::Memory => "memory",
            Self::Pids => "pids",
        }
    }
}

/// A hierarchy as the calling process sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// Its design.
    pub version: Version,
    /// v1: the controllers in it that matter here, at least one. v2: none; each group has a file that lists them.
    pub controllers: BTreeSet<Controller>,
    /// Its mount point: the topmost group that can be seen.
    pub top: PathBuf,
    /// The caller's own group.
    pub own: PathBuf,
}

/// Reads `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`) and `/proc/self/cgroup` (`cgroups(7)`).
///
/// Left out are v1 hierarchies without a controller that matters here (systemd's own), a hierarchy that is not mounted, and one
/// whose mount does not show the caller's group, as in a container that was given a foreign part of it.
#[must_use]
pub fn detect(mountinfo: &str, own: &str) -> Vec<Mounted> {
    let mut found: Vec<Mounted> = Vec::new();
    for mount in mountinfo.lines().filter_map(mount) {
        let Some(group) = own.lines().find_map(|line| mount.group(line)) else {
            continue;
        };
        let Some(own) = mount.below(Path::new(group)) else {
            continue;
        };
        let new = Mounted {
            version: mount.version,
            controllers: mount.controllers,
            top: mount.top,
            own,
        };
        // Mounted twice, the first will do.
        let known = found
            .iter()
            .any(|old| old.version == new.version && old.controllers == new.controllers);
        if !known {
            found.push(new);
        }
    }
    found
}

/// A mount of a hierarchy.
struct Mount {
    version: Version,
    controllers: BTreeSet<Controller>,
    /// Which group of the hierarchy is mounted.
    root: PathBuf,
    top: PathBuf,
}

impl Mount {
    /// The caller's group, if `line` of `/proc/self/cgroup` is about this hierarchy.
    fn group<'a>(&self, line: &'a str) -> Option<&'a str> {
        let mut fields = line.splitn(3, ':');
        let (number, names, group) = (fields.next()?, fields.next()?, fields.next()?);
        let is_meant = match self.version {
            Version::V2 => number == "0" && names.is_empty(),
            Version::V1 => controllers(names) == self.controllers,
        };
        is_meant.then_some(group)
    }

    /// Where the mount shows the group.
    fn below(&self, group: &Path) -> Option<PathBuf> {
        let inner = group.strip_prefix(&self.root).ok()?;
        // `/..` stands for a group outside the cgroup namespace.
        let is_inside = inner
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        is_inside.then(|| self.top.join(inner))
    }
}

/// One line of mountinfo, if it is about a hierarchy that matters.
fn mount(line: &str) -> Option<Mount> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(3);
    let (root, top) = (unescaped(mount.next()?), unescaped(mount.next()?));
    let mut file_system = file_system.split(' ');
    let version = match file_system.next()? {
        "cgroup" => Version::V1,
        "cgroup2" => Version::V2,
        _ => return None,
    };
    let controllers = match version {
        Version::V1 => controllers(file_system.nth(1)?),
        Version::V2 => BTreeSet::new(),
    };
    if version == Version::V1 && controllers.is_empty() {
        return None;
    }
    Some(Mount {
        version,
        controllers,
        root: root.into(),
        top: top.into(),
    })
}

fn controllers(names: &str) -> BTreeSet<Controller> {
    names.split(',').filter_map(Controller::named).collect()
}

/// White space and backslashes in a path are octal there.
fn unescaped(path: &str) -> String {
    [
        (r"\040", " "),
        (r"\011", "\t"),
        (r"\012", "\n"),
        (r"\134", "\\"),
    ]
    .into_iter()
    .fold(path.to_owned(), |path, (code, plain)| {
        path.replace(code, plain)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(found: &[Mounted]) -> Vec<String> {
        found
            .iter()
            .map(|mounted| {
                let names: Vec<&str> = mounted.controllers.iter().map(|c| c.name()).collect();
                format!(
                    "{:?} {} {} {}",
                    mounted.version,
                    names.join(","),
                    mounted.top.display(),
                    mounted.own.display()
                )
            })
            .collect()
    }

    #[test]
    fn the_unified_hierarchy_of_a_desktop() {
        let mountinfo = "\
25 30 0:23 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
29 25 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
30 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw
";
        let own = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.gnome.Terminal.slice/vte-spawn-1.scope\n";
        assert_eq!(
            shown(&detect(mountinfo, own)),
            [
                "V2  /sys/fs/cgroup /sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.gnome.Terminal.slice/vte-spawn-1.scope"
            ]
        );
    }

    #[test]
    fn the_hybrid_of_systemd_with_controllers_that_share_a_mount() {
        let mountinfo = "\
32 25 0:27 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:9 - tmpfs tmpfs ro,mode=755
33 32 0:28 / /sys/fs/cgroup/unified rw,nosuid,nodev,noexec,relatime shared:10 - cgroup2 cgroup2 rw
34 32 0:29 / /sys/fs/cgroup/systemd rw,nosuid,nodev,noexec,relatime shared:11 - cgroup cgroup rw,xattr,name=systemd
37 32 0:32 / /sys/fs/cgroup/memory rw,nosuid,nodev,noexec,relatime shared:15 - cgroup cgroup rw,memory
38 32 0:33 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid,nodev,noexec,relatime shared:16 - cgroup cgroup rw,cpu,cpuacct
39 32 0:34 / /sys/fs/cgroup/net_cls,net_prio rw,nosuid,nodev,noexec,relatime shared:17 - cgroup cgroup rw,net_cls,net_prio
";
        let own = "\
12:memory:/user.slice/user-0.slice/session-3.scope
7:cpu,cpuacct:/user.slice
6:net_cls,net_prio:/
1:name=systemd:/user.slice/user-0.slice/session-3.scope
0::/user.slice/user-0.slice/session-3.scope
";
        assert_eq!(
            shown(&detect(mountinfo, own)),
            [
                "V2  /sys/fs/cgroup/unified /sys/fs/cgroup/unified/user.slice/user-0.slice/session-3.scope",
                "V1 memory /sys/fs/cgroup/memory /sys/fs/cgroup/memory/user.slice/user-0.slice/session-3.scope",
                "V1 cpu,cpuacct /sys/fs/cgroup/cpu,cpuacct /sys/fs/cgroup/cpu,cpuacct/user.slice",
            ]
        );
    }

    #[test]
    fn a_machine_with_a_mount_for_each_controller_of_v1() {
        let mountinfo = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
";
        let own = "8:pids:/\n4:memory:/job/7\n2:cpuacct:/\n1:cpu:/\n0::/\n";
        assert_eq!(
            shown(&detect(mountinfo, own)),
            [
                "V1 cpu /sys/fs/cgroup/cpu /sys/fs/cgroup/cpu/",
                "V1 cpuacct /sys/fs/cgroup/cpuacct /sys/fs/cgroup/cpuacct/",
                "V1 memory /sys/fs/cgroup/memory /sys/fs/cgroup/memory/job/7",
                "V1 pids /sys/fs/cgroup/pids /sys/fs/cgroup/pids/",
            ]
        );
    }

    #[test]
    fn a_container_whose_mount_shows_its_own_part() {
        let id = "/docker/3f2a";
        let mountinfo = format!(
            "600 599 0:32 {id} /sys/fs/cgroup/memory ro,nosuid,nodev,noexec,relatime master:15 - cgroup cgroup rw,memory\n\
             601 599 0:40 {id} /sys/fs/cgroup/p\\040s rw - cgroup cgroup rw,pids\n"
        );
        let own = format!("5:pids:{id}/inner\n4:memory:{id}\n");
        assert_eq!(
            shown(&detect(&mountinfo, &own)),
            [
                "V1 memory /sys/fs/cgroup/memory /sys/fs/cgroup/memory/",
                "V1 pids /sys/fs/cgroup/p s /sys/fs/cgroup/p s/inner",
            ]
        );
        let private = "29 25 0:26 / /sys/fs/cgroup ro,relatime - cgroup2 cgroup rw,nsdelegate\n";
        assert_eq!(
            shown(&detect(private, "0::/\n")),
            ["V2  /sys/fs/cgroup /sys/fs/cgroup/"]
        );
    }

    #[test]
    fn a_group_that_the_mount_does_not_show_is_no_ground() {
        let foreign = "29 25 0:26 /../other /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
        assert!(detect(foreign, "0::/\n").is_empty());
        let outside = "29 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
        assert!(detect(outside, "0::/../other\n").is_empty());
        assert!(detect("", "0::/\n").is_empty() && detect(outside, "").is_empty());
        assert!(detect("nonsense - cgroup", "0::/").is_empty());
    }
}
