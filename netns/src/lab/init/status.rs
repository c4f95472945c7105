//! How the lab stands, in the words of the protocol.

use std::path::PathBuf;

use nix::unistd::Pid;

use super::allotment::Allotment;
use super::hand::Hand;
use super::keeper::Keeper;
use super::report::TAIL;
use crate::kernel::reaper::Exit;
use crate::lab::clock::{millis, nanoseconds};
use crate::lab::logs;
use crate::lab::protocol::{InstanceState, InstanceStatus, PublishedPort, Status, UplinkStatus};
use crate::lab::supervise::{Health, Slot, State, Time};

/// A status as the main task knows it, and where the rest of it is read, beside that task.
#[derive(Debug)]
pub(super) struct Unread {
    status: Status,
    /// For each of its instances.
    sources: Vec<Sources>,
}

#[derive(Debug)]
struct Sources {
    /// The log of one in trouble.
    log: Option<PathBuf>,
    /// The group of one that runs.
    allotment: Option<Allotment>,
}

impl Unread {
    /// Reads last words, and what limits have done.
    pub(super) fn read(self) -> Status {
        let mut status = self.status;
        for (instance, sources) in status.instances.iter_mut().zip(self.sources) {
            if let Some(log) = sources.log {
                instance.tail.splice(0..0, logs::tail(&log, TAIL));
            }
            if let Some(allotment) = sources.allotment {
                let usage = allotment.usage();
                instance.throttled_ns = usage.throttled.map(nanoseconds);
                instance.oom_kills = usage.oom_kills;
            }
        }
        status
    }
}

impl Keeper {
    /// How the lab stands, but for what has to be read.
    pub(super) fn status(&self) -> Unread {
        let now = self.clock.now();
        let mut instances: Vec<(InstanceStatus, Sources)> = self
            .supervisor
            .slots()
            .filter_map(|(id, slot)| {
                let hand = self.hands.get(&id)?;
                Some((instance_status(hand, slot, now), sources(hand, slot)))
            })
            .collect();
        instances.sort_by(|(a, _), (b, _)| (&a.service, a.index).cmp(&(&b.service, b.index)));
        let (instances, sources) = instances.into_iter().unzip();
        let status = Status {
            project: self.lab.plan.project.clone(),
            pid: self.pid,
            uptime_ms: millis(now),
            network_ms: self.network_ms,
            ready_ms: self.ready_ms,
            stopping: self.supervisor.is_stopping(),
            unenforced: self.unenforced(),
            disk_full: self.starter.recorder.is_disk_full(),
            held: self.lab.held.clone(),
            files: (self.lab.project.sources.iter())
                .map(|source| source.path.clone())
                .collect(),
            published: self
                .lab
                .plan
                .publish
                .iter()
                .map(|port| PublishedPort {
                    host_ip: port.host_ip,
                    host_port: port.host_port,
                    service: port.service.clone(),
                    target_port: port.target_port,
                })
                .collect(),
            uplink: self
                .lab
                .plan
                .uplink
                .as_ref()
                .filter(|_| self.connected)
                .map(|uplink| {
                    Box::new(UplinkStatus {
                        link: uplink.link.clone(),
                        host: uplink.host.addr(),
                        router: uplink.router.addr(),
                        reached: uplink.reached.clone(),
                        direct: self.lab.plan.direct.clone(),
                    })
                }),
            instances,
            one_offs: self.one_off_statuses(now),
        };
        Unread { status, sources }
    }
}

fn sources(hand: &Hand, slot: &Slot) -> Sources {
    let in_trouble = slot.in_crash_loop()
        || matches!(
            hand.shown,
            InstanceState::Failed | InstanceState::Unhealthy | InstanceState::Restarting
        );
    Sources {
        log: in_trouble.then(|| hand.log.clone()),
        allotment: hand.allotment.clone().filter(|_| hand.pid.is_some()),
    }
}

fn instance_status(hand: &Hand, slot: &Slot, now: Time) -> InstanceStatus {
    let planned = &hand.planned;
    InstanceStatus {
        name: planned.name.clone(),
        service: planned.service.clone(),
        index: planned.index,
        state: hand.shown,
        health: health_word(slot).to_owned(),
        address: planned.link.as_ref().map(|link| link.address.addr()),
        lab_pid: hand.pid.map(Pid::as_raw),
        pid: None,
        uptime_ms: hand.pid.map(|_| millis(now.saturating_sub(hand.since))),
        restarts: slot.restarts,
        exit_code: slot.last_exit.map(Exit::shell_code),
        oom_killed: hand.memory.ended_it,
        limits: hand.limits(),
        throttled_ns: None,
        oom_kills: None,
        crash_loop: slot.in_crash_loop(),
        tail: hand.problem.iter().cloned().collect(),
    }
}

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
