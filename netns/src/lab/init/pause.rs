//! `pause` and `unpause`: every process of an instance's sandbox halts (SIGSTOP), and goes on (SIGCONT). Not by a control group's
//! freezer: ordinary users have none, and what version 1 has frozen cannot even be killed.

use std::collections::BTreeSet;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::hand::Hand;
use super::keeper::Keeper;
use crate::lab::processes;
use crate::lab::supervise::{Action, Id, Time};

/// So often the processes are walked through at most: what forks faster than it is halted is a fork bomb.
const WALKS: usize = 100;

impl Keeper {
    /// Halts the instance, or lets it go on. A health check that fell due meanwhile is run then.
    pub(super) fn set_paused(&mut self, id: Id, paused: bool, now: Time) {
        let Some(hand) = self.hands.get_mut(&id) else {
            return;
        };
        let owes_probe = match paused {
            true => hand.pause(),
            false => hand.unpause(),
        };
        self.note(id, if paused { "pause" } else { "unpause" }, &[]);
        if owes_probe {
            self.carry_out(Action::Probe(id), now);
        }
    }
}

impl Hand {
    fn pause(&mut self) -> bool {
        self.is_paused = true;
        signal_all(self.pid, Signal::SIGSTOP);
        false
    }

    /// Lets it go on, if it is paused; whether its health check is due.
    pub(super) fn unpause(&mut self) -> bool {
        if std::mem::take(&mut self.is_paused) {
            signal_all(self.pid, Signal::SIGCONT);
        }
        std::mem::take(&mut self.owes_probe)
    }
}

/// Signals every process in the PID namespace of this one. A process to which SIGSTOP was sent forks no more (`copy_process` of the
/// kernel looks for a signal that pends), so once a walk meets nobody new, nobody is left out.
fn signal_all(first: Option<Pid>, signal: Signal) {
    let Some(namespace) = first.and_then(|pid| processes::namespace(pid.as_raw())) else {
        return; // it has just ended
    };
    let mut told = BTreeSet::new();
    for _ in 0..WALKS {
        let members = processes::by_namespace().remove(&namespace);
        let new: Vec<i32> = members
            .into_iter()
            .flatten()
            .filter(|pid| told.insert(*pid))
            .collect();
        if new.is_empty() {
            return;
        }
        for pid in new {
            let _ = kill(Pid::from_raw(pid), signal); // it may have ended just now
        }
    }
}
