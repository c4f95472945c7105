//! From a service's limits to the files that state them. Pure.
//!
//! The measure is what Docker Engine (moby's `daemon/daemon_unix.go`, runc's `libcontainer/cgroups`) writes for the same Compose file:
//! a limit of memory permits as much swap again, processor time is a quota in periods of 100 ms, and a memory limit that is hit
//! ends the process the kernel chooses, not the whole group (`memory.oom.group` stays 0).

use super::hierarchy::{Controller, Version};
use crate::compose::Limits;

/// Length of a period of processor time, in microseconds: the kernel's default (`scheduler/sched-bwc.rst`).
const PERIOD: u32 = 100_000;

/// The least quota that the kernel takes, in microseconds (`min_cfs_quota_period`, `kernel/sched/core.c`).
const LEAST_QUOTA: f64 = 1_000.0;

/// A file of a group and what is written to it, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Whose file it is.
    pub controller: Controller,
    /// The file's name.
    pub file: &'static str,
    /// What is written.
    pub value: String,
    /// Whether a kernel may lack the file: without swap accounting there is no file for swap.
    pub optional: bool,
}

/// What to write for `limits`. What is not limited is written as such, so that a group is as stated whatever was in it.
#[must_use]
pub fn files(limits: &Limits, version: Version) -> Vec<Setting> {
    let setting = |controller, file, value: String| Setting {
        controller,
        file,
        value,
        optional: false,
    };
    let quota = limits.cpus.map(quota);
    let number = |value: Option<u64>, none: &str| {
        value.map_or_else(|| none.to_owned(), |value| value.to_string())
    };
    let pids = setting(
        Controller::Pids,
        "pids.max",
        number(limits.pids.map(u64::from), "max"),
    );
    match version {
        Version::V1 => {
            let mut settings = vec![
                setting(Controller::Cpu, "cpu.cfs_period_us", PERIOD.to_string()),
                setting(
                    Controller::Cpu,
                    "cpu.cfs_quota_us",
                    quota.map_or_else(|| "-1".to_owned(), |quota| quota.to_string()),
                ),
            ];
            // Memory alone may never exceed memory and swap together (cgroup-v1/memory.rst), and a new group has no limit of either:
            // so memory comes first, and nothing is written where nothing is limited.
            if let Some(memory) = limits.memory {
                settings.push(setting(
                    Controller::Memory,
                    "memory.limit_in_bytes",
                    memory.to_string(),
                ));
                settings.push(Setting {
                    optional: true,
                    ..setting(
                        Controller::Memory,
                        "memory.memsw.limit_in_bytes",
                        memory.saturating_mul(2).to_string(),
                    )
                });
            }
            settings.push(pids);
            settings
        }
        Version::V2 => vec![
            setting(
                Controller::Cpu,
                "cpu.max",
                format!(
                    "{} {PERIOD}",
                    quota.map_or_else(|| "max".to_owned(), |quota| quota.to_string())
                ),
            ),
            setting(
                Controller::Memory,
                "memory.max",
                number(limits.memory, "max"),
            ),
            Setting {
                optional: true,
                ..setting(
                    Controller::Memory,
                    "memory.swap.max",
                    number(limits.memory, "max"),
                )
            },
            pids,
        ],
    }
}

/// Microseconds of processor time in a period: half a processor is 50 ms of 100.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a positive number of processors; `as` keeps to the type's range"
)]
fn quota(cpus: f64) -> u64 {
    (cpus * f64::from(PERIOD)).round().max(LEAST_QUOTA) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(limits: &Limits, version: Version) -> Vec<String> {
        files(limits, version)
            .iter()
            .map(|setting| format!("{} = {}", setting.file, setting.value))
            .collect()
    }

    const SHOP: Limits = Limits {
        cpus: Some(0.5),
        memory: Some(128 << 20),
        pids: Some(64),
    };

    #[test]
    fn half_a_processor_is_50_ms_of_100_and_swap_as_much_as_memory() {
        assert_eq!(
            written(&SHOP, Version::V1),
            [
                "cpu.cfs_period_us = 100000",
                "cpu.cfs_quota_us = 50000",
                "memory.limit_in_bytes = 134217728",
                "memory.memsw.limit_in_bytes = 268435456",
                "pids.max = 64",
            ]
        );
        assert_eq!(
            written(&SHOP, Version::V2),
            [
                "cpu.max = 50000 100000",
                "memory.max = 134217728",
                "memory.swap.max = 134217728",
                "pids.max = 64",
            ]
        );
    }

    #[test]
    fn what_is_not_limited_is_said_to_be_free() {
        assert_eq!(
            written(&Limits::default(), Version::V1),
            [
                "cpu.cfs_period_us = 100000",
                "cpu.cfs_quota_us = -1",
                "pids.max = max",
            ]
        );
        assert_eq!(
            written(&Limits::default(), Version::V2),
            [
                "cpu.max = max 100000",
                "memory.max = max",
                "memory.swap.max = max",
                "pids.max = max",
            ]
        );
    }

    #[test]
    fn a_quota_is_never_less_than_the_kernel_takes() {
        assert_eq!(
            (quota(0.001), quota(1.5), quota(0.2)),
            (1_000, 150_000, 20_000)
        );
        assert_eq!(quota(f64::MAX), u64::MAX);
    }
}
