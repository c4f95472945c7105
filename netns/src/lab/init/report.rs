//! What the main task says: progress, the verdict on bring-up, status.

use nix::unistd::Pid;

use super::keeper::{Keeper, Stage};
use super::serve::Located;
use super::{instance, status};
use crate::kernel::reaper::Exit;
use crate::lab::clock::millis;
use crate::lab::logs;
use crate::lab::protocol::{InstanceState, InstanceStatus, Progress, PublishedPort, Reply, Status};
use crate::lab::supervise::{Event, State, Time, Verdict};

/// Lines of an instance's log shown with its trouble.
const TAIL: usize = 8;

impl Keeper {
    /// Tells whoever listens about instances that reached another state.
    pub(super) fn show_changes(&mut self, now: Time) {
        for (index, slot) in self.supervisor.slots().iter().enumerate() {
            let hand = &mut self.hands[index];
            let state = status::state_of(slot, self.supervisor.is_stopping(), hand.shown);
            if state == hand.shown {
                continue;
            }
            let had_been = std::mem::replace(&mut hand.shown, state);
            // That a one-shot runs is no news: what counts is that it completes.
            if state == InstanceState::Running && self.supervisor.is_one_shot(index) {
                continue;
            }
            // What was not running when everything was told to stop has not been stopped.
            if state == InstanceState::Stopped && had_been != InstanceState::Stopping {
                continue;
            }
            let detail = match state {
                InstanceState::Restarting | InstanceState::Failed => {
                    Some(hand.problem.clone().unwrap_or_else(|| {
                        slot.last_exit
                            .map_or_else(String::new, |exit| exit.to_string())
                    }))
                }
                _ => None,
            };
            let progress = Progress::Instance {
                instance: slot.unit.name.clone(),
                state,
                at_ms: millis(now),
                took_ms: millis(now.saturating_sub(hand.since)),
                detail,
            };
            self.listeners
                .retain(|listener| listener.send(Reply::Progress(progress.clone())).is_ok());
        }
    }

    /// While the lab comes up: is it ready, or beyond hope?
    pub(super) fn judge(&mut self, now: Time) {
        if self.stage != Stage::ComingUp || self.supervisor.is_stopping() {
            return;
        }
        let (instance, message) = match self.supervisor.verdict() {
            Verdict::Ready => return self.announce_ready(now),
            Verdict::Pending if now < self.lab.wait_timeout => return,
            Verdict::Pending => {
                let late = self.supervisor.slots().iter().position(|slot| {
                    !slot.is_well() && !slot.has_completed() && slot.state != State::Waiting
                });
                let message = format!(
                    "not healthy after {} s",
                    self.lab.wait_timeout.as_secs_f64()
                );
                (late, message)
            }
            Verdict::Failed(index) => {
                let slot = &self.supervisor.slots()[index];
                let how = match (&self.hands[index].problem, slot.last_exit) {
                    (Some(problem), _) => problem.clone(),
                    (None, Some(exit)) if slot.in_crash_loop() => format!("keeps ending ({exit})"),
                    (None, Some(exit)) => format!("ended ({exit})"),
                    (None, None) => "could not be started".to_owned(),
                };
                (Some(index), how)
            }
        };
        self.stage = Stage::GivenUp;
        let tail = instance.map_or_else(Vec::new, |index| logs::tail(&self.hands[index].log, TAIL));
        let instance = instance.map(|index| self.supervisor.slots()[index].unit.name.clone());
        let failed = Reply::Progress(Progress::Failed {
            instance,
            message,
            tail,
        });
        self.listeners
            .retain(|listener| listener.send(failed.clone()).is_ok());
        self.take(Event::Shutdown);
    }

    fn announce_ready(&mut self, now: Time) {
        self.stage = Stage::Up;
        self.ready_ms = Some(millis(now));
        let memory = self
            .supervisor
            .slots()
            .iter()
            .zip(&self.hands)
            .filter(|(_, hand)| hand.is_built)
            .filter_map(|(slot, hand)| {
                Some((
                    slot.unit.name.clone(),
                    status::resident_memory(hand.pid?.as_raw()),
                ))
            })
            .collect();
        let ready = Reply::Progress(Progress::Ready {
            at_ms: millis(now),
            memory,
        });
        self.listeners
            .retain(|listener| listener.send(ready.clone()).is_ok());
    }

    pub(super) fn locate(
        &self,
        target: &str,
        argv: Vec<String>,
        tty: bool,
    ) -> Result<Located, String> {
        let mut known = false;
        for (slot, hand) in self.supervisor.slots().iter().zip(&self.hands) {
            if slot.unit.name == target || slot.unit.service == target {
                known = true;
                if let Some(pid) = hand.pid {
                    return Ok(Located {
                        pid,
                        spec: instance::program(&hand.spec, argv, tty),
                    });
                }
            }
        }
        let names: Vec<&str> = self
            .supervisor
            .slots()
            .iter()
            .map(|slot| slot.unit.name.as_str())
            .collect();
        Err(if known {
            format!("{target} is not running; `netns-setup ps` shows why")
        } else {
            format!(
                "no service or instance is named {target}; there are: {}",
                names.join(", ")
            )
        })
    }

    pub(super) fn status(&self) -> Status {
        let now = self.clock.now();
        let instances = self
            .lab
            .plan
            .instances
            .iter()
            .zip(self.supervisor.slots())
            .zip(&self.hands);
        Status {
            project: self.lab.plan.project.clone(),
            pid: self.pid,
            uptime_ms: millis(now),
            network_ms: self.network_ms,
            ready_ms: self.ready_ms,
            stopping: self.supervisor.is_stopping(),
            held: self.lab.held.clone(),
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
            instances: instances
                .map(|((planned, slot), hand)| {
                    let in_trouble = slot.in_crash_loop()
                        || matches!(
                            hand.shown,
                            InstanceState::Failed
                                | InstanceState::Unhealthy
                                | InstanceState::Restarting
                        );
                    let mut tail = if in_trouble {
                        logs::tail(&hand.log, TAIL)
                    } else {
                        Vec::new()
                    };
                    tail.extend(hand.problem.clone());
                    InstanceStatus {
                        name: planned.name.clone(),
                        service: planned.service.clone(),
                        index: planned.index,
                        state: hand.shown,
                        health: status::health_word(slot).to_owned(),
                        address: planned.link.as_ref().map(|link| link.address.addr()),
                        lab_pid: hand.pid.map(Pid::as_raw),
                        pid: None,
                        uptime_ms: hand.pid.map(|_| millis(now.saturating_sub(hand.since))),
                        restarts: slot.restarts,
                        exit_code: slot.last_exit.map(Exit::shell_code),
                        crash_loop: slot.in_crash_loop(),
                        tail,
                    }
                })
                .collect(),
        }
    }
}
