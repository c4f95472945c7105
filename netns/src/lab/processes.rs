//! Processes as `/proc` shows them to the reader, told apart by the PID namespace that each is in.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

/// Clock ticks a second in what `/proc` counts: `USER_HZ`, 100 on every architecture that this runs on (`times(2)`).
pub const TICKS: u64 = 100;

/// A flag of a process that has begun to end (the kernel's `include/linux/sched.h`).
const PF_EXITING: u64 = 0x4;

/// One line of `proc_pid_stat(5)`, as far as it is of use here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its number, as the reader's PID namespace has it.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// The device number of its terminal; 0: it has none.
    pub terminal: i32,
    /// Processor time that it has used, in [`TICKS`].
    pub ticks: u64,
    /// Processor time of children that have ended and that it has collected, in [`TICKS`].
    pub childrens_ticks: u64,
    /// Threads.
    pub threads: u64,
    /// When it was started, in [`TICKS`] since the machine was: the same in every PID namespace.
    pub started: u64,
    /// Whether it has ended, and has not been collected yet.
    pub has_ended: bool,
    /// Whether it has begun to end (`PF_EXITING`). The first of a PID namespace is like that until all others in it have ended.
    pub is_ending: bool,
}

impl Process {
    /// Reads a process; `None`: it has ended.
    #[must_use]
    pub fn read(pid: i32) -> Option<Self> {
        Self::of(&pid.to_string())
    }

    /// Reads the calling process; `None` where there is no `/proc`.
    #[must_use]
    pub fn own() -> Option<Self> {
        Self::of("self")
    }

    fn of(name: &str) -> Option<Self> {
        parse(&fs::read_to_string(format!("/proc/{name}/stat")).ok()?)
    }
}

/// The program's name may hold anything, closing brackets included: what follows the last one is fields.
fn parse(stat: &str) -> Option<Process> {
    let (before, after) = stat.rsplit_once(')')?;
    let pid = before.split_once(' ')?.0.parse().ok()?;
    let fields: Vec<&str> = after.split_whitespace().collect();
    // Numbered from 1 in the manual; the third is the first here.
    let number = |field: usize| fields.get(field - 3)?.parse::<i64>().ok();
    let count = |field: usize| u64::try_from(number(field)?).ok();
    Some(Process {
        pid,
        parent: i32::try_from(number(4)?).ok()?,
        terminal: i32::try_from(number(7)?).ok()?,
        ticks: count(14)? + count(15)?,
        childrens_ticks: count(16)? + count(17)?,
        threads: count(20)?,
        started: count(22)?,
        has_ended: ["Z", "X"].contains(fields.first()?),
        is_ending: count(9)? & PF_EXITING != 0,
    })
}

/// The PID namespace of a process, by its inode number; `None`: it has ended, or is none of the reader's business.
#[must_use]
pub fn namespace(pid: i32) -> Option<u64> {
    // The link is not read but followed: what it leads to has the number.
    Some(fs::metadata(format!("/proc/{pid}/ns/pid")).ok()?.ino())
}

/// Every process that the reader may look at, by its PID namespace.
#[must_use]
pub fn by_namespace() -> BTreeMap<u64, Vec<i32>> {
    let mut processes: BTreeMap<u64, Vec<i32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        if let Some((pid, namespace)) = pid.and_then(|pid| Some((pid, namespace(pid)?))) {
            processes.entry(namespace).or_default().push(pid);
        }
    }
    for pids in processes.values_mut() {
        pids.sort_unstable();
    }
    processes
}

/// Memory of a process in bytes: its own, and its share of what it has in common with others (`Pss` in `proc_pid_smaps(5)`), so that
/// a sum counts every page once; where the kernel does not say, all that is resident.
#[must_use]
pub fn memory(pid: i32) -> u64 {
    let file = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    kibibytes(&file("smaps_rollup"), "Pss:")
        .or_else(|| kibibytes(&file("status"), "VmRSS:"))
        .unwrap_or(0)
}

fn kibibytes(text: &str, field: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(field))?;
    let number: u64 = rest.split_whitespace().next()?.parse().ok()?;
    Some(number * 1024)
}

/// Bytes that have come in and gone out over an interface, as the network of process `pid` counts them.
#[must_use]
pub fn traffic(pid: i32, interface: &str) -> Option<(u64, u64)> {
    counters(
        &fs::read_to_string(format!("/proc/{pid}/net/dev")).ok()?,
        interface,
    )
}

/// From the table of `proc_pid_net(5)`: eight figures of receiving, then eight of sending, bytes first.
fn counters(table: &str, interface: &str) -> Option<(u64, u64)> {
    let (_, figures) = table
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim() == interface)?;
    let figures: Vec<u64> = figures
        .split_whitespace()
        .filter_map(|figure| figure.parse().ok())
        .collect();
    Some((*figures.first()?, *figures.get(8)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_pass_for_fields() {
        let line =
            "71 (a) S 1) S 70 71 71 34816 71 4194304 1 2 3 4 150 50 7 3 20 0 5 0 9000 1 2 3\n";
        let process = parse(line).unwrap();
        assert_eq!(
            process,
            Process {
                pid: 71,
                parent: 70,
                terminal: 34_816,
                ticks: 200,
                childrens_ticks: 10,
                threads: 5,
                started: 9000,
                has_ended: false,
                is_ending: false,
            }
        );
        assert_eq!(parse("71 (a"), None);
    }

    #[test]
    fn this_process_is_in_its_namespace() {
        let own = i32::try_from(std::process::id()).unwrap();
        let processes = by_namespace();
        assert!(processes[&namespace(own).unwrap()].contains(&own));
        assert!(memory(own) > 100_000 && Process::read(own).unwrap().threads > 0);
    }

    #[test]
    fn counters_are_an_interfaces_own() {
        let table = "Inter-| Receive | Transmit\n face |bytes packets\n    lo: 10 1 0 0 0 0 0 0 10 1 0 0 0 0 0 0\n  eth0: 1234 9 0 0 0 0 0 0 567 8 0 0 0 0 0 0\n";
        assert_eq!(counters(table, "eth0"), Some((1234, 567)));
        assert_eq!(counters(table, "eth"), None);
    }
}
