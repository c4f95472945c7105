//! One-off instances while their programs run: shown, entered, and told to end by their names. How they come and go is in
//! [`guest`](super::guest).

use std::collections::BTreeSet;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::hand::Hand;
use super::keeper::Keeper;
use super::process::Starter;
use super::serve::Message;
use crate::lab::clock::millis;
use crate::lab::protocol::{InstanceState, InstanceStatus, Progress, Reply, Steer};
use crate::lab::supervise::Time;

impl Keeper {
    /// The program of the one-off instance runs.
    pub(super) fn arrived(&mut self, name: &str, pid: Pid) {
        let now = self.clock.now();
        if let Some(hand) = self.one_offs.get_mut(name) {
            hand.pid = Some(pid);
            hand.since = now;
            hand.shown = InstanceState::Running;
        }
    }

    /// It runs no more: whoever asked for its end hears of it.
    pub(super) fn departed(&mut self, name: &str) {
        let Some(hand) = self.one_offs.remove(name) else {
            return; // it never came to run
        };
        let now = self.clock.now();
        let ended = Progress::Instance {
            instance: name.to_owned(),
            state: InstanceState::Stopped,
            at_ms: millis(now),
            took_ms: millis(now.saturating_sub(hand.since)),
            detail: None,
        };
        for listener in &self.listeners {
            if listener.one_offs.contains(name) {
                let _ = listener.to.send(Reply::Progress(ended.clone())); // whoever asked may be gone
            }
        }
    }

    /// How those that run stand, by name.
    pub(super) fn one_off_statuses(&self, now: Time) -> Vec<InstanceStatus> {
        let status = |hand: &Hand| InstanceStatus {
            name: hand.planned.name.clone(),
            service: hand.planned.service.clone(),
            index: hand.planned.index,
            state: hand.shown,
            health: "none".to_owned(),
            address: hand.planned.link.as_ref().map(|link| link.address.addr()),
            lab_pid: hand.pid.map(Pid::as_raw),
            pid: None,
            uptime_ms: hand.pid.map(|_| millis(now.saturating_sub(hand.since))),
            restarts: 0,
            exit_code: None,
            oom_killed: false,
            limits: hand.limits(),
            throttled_ns: None,
            oom_kills: None,
            crash_loop: false,
            tail: Vec::new(),
        };
        self.one_offs.values().map(status).collect()
    }

    /// Tells those of these names apart from the rest, and refuses what cannot be done to them.
    pub(super) fn one_offs_of(
        &self,
        steer: &Steer,
        names: &[String],
    ) -> Result<(BTreeSet<String>, Vec<String>), String> {
        let (one_offs, others): (Vec<_>, Vec<_>) =
            (names.iter().cloned()).partition(|name| self.one_offs.contains_key(name));
        match (one_offs.first(), steer) {
            (Some(name), Steer::Start | Steer::Restart { .. } | Steer::Wait) => Err(format!(
                "{name} is a one-off instance: it lasts as long as the `run` that waits for it"
            )),
            (Some(_), _) if one_offs.iter().any(|name| !self.has_arrived(name)) => Err(
                "a one-off instance of these names is just being started; try again in a moment"
                    .to_owned(),
            ),
            (Some(name), Steer::Pause | Steer::Unpause) => Err(format!(
                "{name} is a one-off instance: only those of services are paused"
            )),
            _ => Ok((one_offs.into_iter().collect(), others)),
        }
    }

    fn has_arrived(&self, name: &str) -> bool {
        let one_off = self.one_offs.get(name);
        one_off.is_some_and(|hand| hand.pid.is_some())
    }

    /// Ends those of these names, or sends them a signal: the ones that will have ended when that has come about.
    pub(super) fn end_one_offs(&self, steer: &Steer, names: BTreeSet<String>) -> BTreeSet<String> {
        let mut ending = BTreeSet::new();
        for name in names {
            let Some((hand, pid)) =
                (self.one_offs.get(&name)).and_then(|hand| Some((hand, hand.pid?)))
            else {
                continue;
            };
            match steer {
                Steer::Stop { grace_ms } => {
                    Starter::stop(pid, hand.stop_signal);
                    let service = self.lab.project.services.get(&hand.planned.service);
                    let own = service.map_or(Duration::ZERO, |service| service.stop_grace_period);
                    let grace = grace_ms.map_or(own, Duration::from_millis);
                    self.end_after(grace, name.clone(), pid);
                    ending.insert(name);
                }
                Steer::Kill { signal } => {
                    let signal = Signal::try_from(*signal).ok();
                    let _ = kill(pid, signal); // it may have ended just now
                    if signal == Some(Signal::SIGKILL) {
                        ending.insert(name);
                    }
                }
                Steer::Start
                | Steer::Restart { .. }
                | Steer::Pause
                | Steer::Unpause
                | Steer::Wait => {}
            }
        }
        ending
    }

    fn end_after(&self, grace: Duration, name: String, pid: Pid) {
        let messages = self.starter.messages.clone();
        tokio::spawn(async move {
            tokio::time::sleep(grace).await;
            let _ = messages.send(Message::Overdue { name, pid }); // the main task is gone only when the lab ends
        });
    }

    /// Its grace is over: it is killed, if it is still the same.
    pub(super) fn overdue(&self, name: &str, pid: Pid) {
        if self
            .one_offs
            .get(name)
            .is_some_and(|hand| hand.pid == Some(pid))
        {
            let _ = kill(pid, Signal::SIGKILL); // it may have ended just now
        }
    }
}
