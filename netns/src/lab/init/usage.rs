//! Measuring what the instances use. Reads files of `/proc` and of control groups, so it is done beside the main task.

use nix::unistd::Pid;

use super::allotment::Allotment;
use super::keeper::Keeper;
use crate::lab::clock::{Clock, nanoseconds};
use crate::lab::processes::{self, Process, TICKS};
use crate::lab::usage::{InstanceUsage, Usage, Usages};

/// The interface of every instance.
const INTERFACE: &str = "eth0";

/// What is to be measured, as the main task knows it.
#[derive(Debug)]
pub(super) struct Survey {
    clock: Clock,
    instances: Vec<Measured>,
}

#[derive(Debug)]
struct Measured {
    name: String,
    service: String,
    restarts: u32,
    pid: Option<Pid>,
    allotment: Option<Allotment>,
}

impl Keeper {
    pub(super) fn survey(&self) -> Survey {
        let restarts = |name: &str| {
            self.supervisor
                .slots()
                .find(|(_, slot)| slot.unit.name == name)
                .map_or(0, |(_, slot)| slot.restarts)
        };
        let instances = self.by_name().into_iter().chain(self.one_offs.values());
        let instances = instances.map(|hand| Measured {
            name: hand.planned.name.clone(),
            service: hand.planned.service.clone(),
            restarts: restarts(&hand.planned.name),
            pid: hand.pid,
            allotment: hand.allotment.clone(),
        });
        Survey {
            clock: self.clock,
            instances: instances.collect(),
        }
    }
}

impl Survey {
    /// Measures all of them, walking through the processes once.
    pub(super) fn measure(self) -> Usages {
        let processes = processes::by_namespace();
        let at_ns = nanoseconds(self.clock.now());
        let measured = |instance: Measured| {
            let usage = instance.pid.map(Pid::as_raw).and_then(|first| {
                let members = processes.get(&processes::namespace(first)?)?;
                Some(usage(first, members, instance.allotment.as_ref()))
            });
            InstanceUsage {
                name: instance.name,
                service: instance.service,
                restarts: instance.restarts,
                usage,
            }
        };
        Usages {
            at_ns,
            instances: self.instances.into_iter().map(measured).collect(),
        }
    }
}

fn usage(first: i32, members: &[i32], allotment: Option<&Allotment>) -> Usage {
    let (rx_bytes, tx_bytes) = processes::traffic(first, INTERFACE).unwrap_or_default();
    let mut usage = Usage {
        rx_bytes,
        tx_bytes,
        ..Usage::default()
    };
    let group = allotment.map(Allotment::usage).unwrap_or_default();
    if let Some(allotment) = allotment {
        usage.memory_limit = allotment.limits.memory;
        usage.cpu_limit = allotment.limits.cpus;
        usage.throttled_ns = group.throttled.map(nanoseconds);
        usage.oom_kills = group.oom_kills;
    }
    match (group.cpu, group.memory, group.pids) {
        (Some(cpu), Some(memory), Some(pids)) => {
            usage.cpu_ns = nanoseconds(cpu);
            usage.memory_bytes = memory;
            usage.pids = pids;
        }
        _ => add(&mut usage, members),
    }
    usage
}

/// Adds the processes of a PID namespace up. Processor time of those that have ended is in their parents' figures; children of
/// processes that do not wait for them are not.
fn add(usage: &mut Usage, members: &[i32]) {
    for process in members.iter().filter_map(|pid| Process::read(*pid)) {
        usage.cpu_ns += (process.ticks + process.childrens_ticks) * (1_000_000_000 / TICKS);
        usage.memory_bytes += processes::memory(process.pid);
        usage.pids += process.threads;
    }
}
