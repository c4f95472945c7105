//! Control groups as the kernel shows them under /sys/fs/cgroup and in /proc.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use netns_setup::kernel::cgroup::LabGroups;

/// Where control groups are mounted.
const TOP: &str = "/sys/fs/cgroup";

/// Groups that are named as those of the lab with this state folder, topmost ones only.
pub(crate) fn own_groups(state: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    // Without a state folder it never made one.
    let project = state.file_name().unwrap_or_default().to_string_lossy();
    if let Ok(prefix) = LabGroups::prefix(&project, state) {
        search(Path::new(TOP), &prefix, &mut found);
    }
    found
}

/// How many groups the lab has, those of its instances included.
pub(crate) fn all_groups(state: &Path) -> usize {
    let below = |group: PathBuf| {
        let entries = fs::read_dir(group).into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .count()
    };
    own_groups(state)
        .into_iter()
        .map(|group| 1 + below(group))
        .sum()
}

fn search(folder: &Path, prefix: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            found.push(entry.path());
        } else {
            search(&entry.path(), prefix, found);
        }
    }
}

/// The group that a process is in: a folder for each controller of v1, the same one for all of v2.
pub(crate) struct Group {
    pid: i32,
}

impl Group {
    pub(crate) fn of(pid: i32) -> Self {
        Self { pid }
    }

    /// The folder in the hierarchy of `controller`.
    pub(crate) fn folder(&self, controller: &str) -> Result<PathBuf> {
        let own = fs::read_to_string(format!("/proc/{}/cgroup", self.pid))?;
        let mut unified = None;
        for line in own.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (names, path) = (
                fields.next().context("names")?,
                fields.next().context("path")?,
            );
            if names.split(',').any(|name| name == controller) {
                return Ok(below(&Path::new(TOP).join(names), path));
            }
            if names.is_empty() {
                unified = Some(path.to_owned());
            }
        }
        Ok(below(Path::new(TOP), &unified.context("no control group")?))
    }

    /// The text of the first of `files` that is there: v1 and v2 differ in names.
    pub(crate) fn read(&self, controller: &str, files: &[&str]) -> Result<String> {
        let folder = self.folder(controller)?;
        files
            .iter()
            .find_map(|file| fs::read_to_string(folder.join(file)).ok())
            .with_context(|| format!("none of {files:?} in {}", folder.display()))
    }

    /// Processor time that it has used.
    pub(crate) fn used(&self) -> Result<Duration> {
        let nanoseconds = self.number("cpuacct", &["cpuacct.usage"], "");
        nanoseconds.map(Duration::from_nanos).or_else(|_| {
            let microseconds = self.number("cpu", &["cpu.stat"], "usage_usec ")?;
            Ok(Duration::from_micros(microseconds))
        })
    }

    /// A number among lines of names and numbers, or the only one.
    pub(crate) fn number(&self, controller: &str, files: &[&str], name: &str) -> Result<u64> {
        let text = self.read(controller, files)?;
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .with_context(|| format!("{name} in {text}"))?;
        Ok(value.trim().parse()?)
    }
}

fn below(top: &Path, path: &str) -> PathBuf {
    top.join(path.trim_start_matches('/'))
}

/// The process that will remove the groups of a lab, told by what it is called with.
pub(crate) fn guardian(state: &Path) -> Result<Option<i32>> {
    let project = state.file_name().unwrap_or_default().to_string_lossy();
    let prefix = LabGroups::prefix(&project, state)?;
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default(); // it may have ended
        let line = String::from_utf8_lossy(&line);
        if line.contains("cgroup-guardian") && line.contains(&prefix) {
            return Ok(Some(pid));
        }
    }
    Ok(None)
}
