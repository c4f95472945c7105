//! How the lab stands, in the words of the protocol.

use crate::lab::protocol::InstanceState;
use crate::lab::supervise::{Health, Slot, State};

/// What people call where `slot` is.
#[must_use]
pub(super) fn state_of(slot: &Slot) -> InstanceState {
    match slot.state {
        State::Waiting => InstanceState::Waiting,
        State::Starting { .. } if slot.restarts > 0 => InstanceState::Restarting,
        State::Starting { .. } => InstanceState::Starting,
        State::Running { .. } => match slot.health() {
            Health::Unchecked => InstanceState::Running,
            Health::Starting => InstanceState::Starting,
            Health::Healthy { .. } => InstanceState::Healthy,
            Health::Unhealthy => InstanceState::Unhealthy,
        },
        State::BackingOff { .. } => InstanceState::Restarting,
        State::Stopping { .. } => InstanceState::Stopping,
        State::Stopped => InstanceState::Stopped,
        State::Ended(_) if slot.has_completed() => InstanceState::Completed,
        State::Ended(_) => InstanceState::Failed,
    }
}

/// The word for what the health check says.
#[must_use]
pub(super) fn health_word(slot: &Slot) -> &'static str {
    match slot.health() {
        Health::Unchecked => "none",
        Health::Starting => "starting",
        Health::Healthy { .. } => "healthy",
        Health::Unhealthy => "unhealthy",
    }
}

/// Resident memory of a process in bytes (`VmRSS` in `proc_pid_status(5)`); 0 when it is gone.
#[must_use]
pub(super) fn resident_memory(pid: i32) -> u64 {
    std::fs::read_to_string(format!("/proc/{pid}/status")).map_or(0, |status| resident(&status))
}

fn resident(status: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|kibibytes| kibibytes.parse::<u64>().ok())
        .map_or(0, |kibibytes| kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_in_bytes() {
        assert_eq!(
            resident("Name:\ta\nVmRSS:\t    3200 kB\nThreads:\t1\n"),
            3_276_800
        );
        assert_eq!(resident("Name:\tkthread\n"), 0);
    }
}
