//! What a group has used, from its files.

use std::path::Path;
use std::time::Duration;

use super::hierarchy::{Controller, Version};

/// What an instance uses and has used since its group was made. Absent is what no controller counts here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time.
    pub cpu: Option<Duration>,
    /// Bytes of memory without the page cache that can be given up at once: what `docker stats` shows.
    pub memory: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Periods in which it was held back by its limit of processor time.
    pub throttled_periods: Option<u64>,
    /// How long it was held back.
    pub throttled: Option<Duration>,
    /// Processes of it that the kernel killed because the memory limit was hit.
    pub oom_kills: Option<u64>,
}

impl Usage {
    /// Adds what the group in `folder` counts.
    pub(super) fn add(&mut self, version: Version, controller: Controller, folder: &Path) {
        let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap_or_default();
        match (version, controller) {
            (Version::V1, Controller::CpuAcct) => {
                self.cpu = number(&read("cpuacct.usage")).map(Duration::from_nanos);
            }
            (Version::V1, Controller::Cpu) => {
                let stat = read("cpu.stat");
                self.throttled_periods = field(&stat, "nr_throttled");
                self.throttled = field(&stat, "throttled_time").map(Duration::from_nanos);
            }
            (Version::V2, Controller::Cpu) => {
                let stat = read("cpu.stat");
                self.cpu = field(&stat, "usage_usec").map(Duration::from_micros);
                self.throttled_periods = field(&stat, "nr_throttled");
                self.throttled = field(&stat, "throttled_usec").map(Duration::from_micros);
            }
            (Version::V2, Controller::CpuAcct) => {}
            (Version::V1, Controller::Memory) => {
                self.memory = held(
                    &read("memory.usage_in_bytes"),
                    field(&read("memory.stat"), "total_inactive_file"),
                );
                self.oom_kills = field(&read("memory.oom_control"), "oom_kill");
            }
            (Version::V2, Controller::Memory) => {
                self.memory = held(
                    &read("memory.current"),
                    field(&read("memory.stat"), "inactive_file"),
                );
                self.oom_kills = field(&read("memory.events"), "oom_kill");
            }
            (_, Controller::Pids) => self.pids = number(&read("pids.current")),
        }
    }
}

fn held(usage: &str, cache: Option<u64>) -> Option<u64> {
    Some(number(usage)?.saturating_sub(cache.unwrap_or(0)))
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// The value of `name` in a flat keyed file (`cgroup-v2.rst`, "Interface Files").
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(key, _)| *key == name)
        .and_then(|(_, value)| number(value))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn usage(version: Version, files: &[(&str, &str)]) -> Usage {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let mut usage = Usage::default();
        for controller in [
            Controller::Cpu,
            Controller::CpuAcct,
            Controller::Memory,
            Controller::Pids,
        ] {
            usage.add(version, controller, folder.path());
        }
        usage
    }

    const USED: Usage = Usage {
        cpu: Some(Duration::from_millis(1_500)),
        memory: Some(3_000_000),
        pids: Some(4),
        throttled_periods: Some(7),
        throttled: Some(Duration::from_millis(250)),
        oom_kills: Some(2),
    };

    #[test]
    fn both_versions_say_the_same_in_their_own_words() {
        let v1 = [
            ("cpuacct.usage", "1500000000\n"),
            (
                "cpu.stat",
                "nr_periods 90\nnr_throttled 7\nthrottled_time 250000000\n",
            ),
            ("memory.usage_in_bytes", "5000000\n"),
            (
                "memory.stat",
                "inactive_file 1\ntotal_inactive_file 2000000\n",
            ),
            (
                "memory.oom_control",
                "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
            ),
            ("pids.current", "4\n"),
        ];
        assert_eq!(usage(Version::V1, &v1), USED);
        let v2 = [
            (
                "cpu.stat",
                "usage_usec 1500000\nuser_usec 1\nnr_periods 90\nnr_throttled 7\nthrottled_usec 250000\n",
            ),
            ("memory.current", "5000000\n"),
            ("memory.stat", "anon 3\ninactive_file 2000000\n"),
            (
                "memory.events",
                "low 0\nhigh 0\nmax 9\noom 2\noom_kill 2\noom_group_kill 0\n",
            ),
            ("pids.current", "4\n"),
        ];
        assert_eq!(usage(Version::V2, &v2), USED);
    }

    #[test]
    fn what_is_not_counted_is_not_there() {
        assert_eq!(usage(Version::V1, &[]), Usage::default());
        assert_eq!(
            usage(Version::V2, &[("memory.current", "what?")]),
            Usage::default()
        );
    }
}
