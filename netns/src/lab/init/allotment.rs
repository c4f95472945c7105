//! What an instance is allotted: its control group with its limits, and how it fared with them.

use crate::compose::Limits;
use crate::kernel::Failure;
use crate::kernel::cgroup::{Group, LabGroups, Usage};
use crate::kernel::reaper::Exit;

/// An instance's control group and limits.
#[derive(Clone, Debug)]
pub(super) struct Allotment {
    group: Group,
    /// Those that are enforced.
    pub(super) limits: Limits,
}

impl Allotment {
    pub(super) fn new(groups: &LabGroups, instance: &str, limits: &Limits) -> Self {
        Self {
            group: groups.instance(instance),
            limits: groups.enforced(limits),
        }
    }

    /// Makes the group with its limits, before the instance is started.
    pub(super) fn prepare(&self) -> Result<(), Failure> {
        self.group.create(&self.limits)
    }

    /// The instance is no more: to be called by whoever has heard that its last process was collected. What stays for any other reason
    /// the guardian removes with the lab's.
    pub(super) fn give_back(&self) {
        if let Err(error) = self.group.remove() {
            tracing::warn!(%error, "a control group stays for now");
        }
    }

    /// What the instance uses and has used, over all its starts.
    pub(super) fn usage(&self) -> Usage {
        self.group.usage()
    }
}

/// How often an instance met its memory limit, and whether it was the end of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// Processes of it that were killed, when it last ended.
    seen: u64,
    /// Its last end was one of them.
    pub(super) ended_it: bool,
}

impl Memory {
    /// Takes in an end; `kills` is the group's count now. A shell that waited for the process that was killed ends with its code.
    pub(super) fn ended(&mut self, exit: Exit, kills: u64) {
        self.ended_it = kills > self.seen && exit.shell_code() == 128 + libc::SIGKILL;
        self.seen = kills;
    }

    /// Takes in the group's count while the instance goes on; whether processes beside its own have been killed since.
    pub(super) fn counted(&mut self, kills: u64) -> bool {
        std::mem::replace(&mut self.seen, kills) < kills
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_kill_that_was_counted_is_one_for_memory() {
        let mut memory = Memory::default();
        let killed = Exit::Signal(libc::SIGKILL);
        memory.ended(killed, 0);
        assert!(!memory.ended_it, "somebody else killed it");
        memory.ended(killed, 1);
        assert!(memory.ended_it);
        memory.ended(killed, 1);
        assert!(!memory.ended_it, "that one was before");
        memory.ended(Exit::Code(137), 3);
        assert!(memory.ended_it, "its shell told on");
        memory.ended(Exit::Code(0), 4);
        assert!(!memory.ended_it, "a child of it was, and it went on");
        assert!(memory.counted(5) && !memory.counted(5), "told once");
    }
}
