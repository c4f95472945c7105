//! What the main task says: progress, the verdict on bring-up, status.

use super::hand::Hand;
use super::keeper::{Keeper, Stage};
use super::status;
use crate::compose::{Limits, Service};
use crate::lab::clock::millis;
use crate::lab::logs;
use crate::lab::protocol::{InstanceState, Progress};
use crate::lab::supervise::{Event, Id, State, Time, Verdict};

/// Lines of an instance's log shown with its trouble.
pub(super) const TAIL: usize = 8;

impl Keeper {
    /// Tells whoever listens about instances that reached another state.
    pub(super) fn show_changes(&mut self, now: Time) {
        let (mut news, mut changes) = (Vec::new(), Vec::new());
        for (id, slot) in self.supervisor.slots() {
            let Some(hand) = self.hands.get_mut(&id) else {
                continue;
            };
            let state = match hand.is_paused {
                true => InstanceState::Paused,
                false => status::state_of(slot),
            };
            if state == hand.shown {
                continue;
            }
            let had_been = std::mem::replace(&mut hand.shown, state);
            changes.push((id, had_been, state));
            // That a one-shot runs is no news: what counts is that it completes.
            if state == InstanceState::Running && self.supervisor.is_one_shot(id) {
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
                            .map_or_else(String::new, |exit| hand.end(exit))
                    }))
                }
                _ => None,
            };
            let progress = Progress::Instance {
                instance: slot.unit.name.clone(),
                state,
                at_ms: millis(now),
                took_ms: match InstanceState::Paused == had_been || InstanceState::Paused == state {
                    true => 0,
                    false => millis(now.saturating_sub(hand.since)),
                },
                detail,
            };
            news.push((id, progress));
        }
        for (id, had_been, state) in changes {
            self.note_state(id, had_been, state);
        }
        for (id, progress) in news {
            self.tell(Some(id), &progress);
        }
    }

    /// While the lab comes up: is it ready, or beyond hope?
    pub(super) fn judge(&mut self, now: Time) {
        if self.stage != Stage::ComingUp || self.supervisor.is_stopping() {
            return;
        }
        let (failed, message) = match self.supervisor.verdict(|_| true) {
            Verdict::Ready => return self.announce_ready(now),
            Verdict::Pending if now < self.lab.wait_timeout => return,
            Verdict::Pending => {
                let message = format!(
                    "not healthy after {} s",
                    self.lab.wait_timeout.as_secs_f64()
                );
                (self.late(|_| true), message)
            }
            Verdict::Failed(id) => (Some(id), self.how_it_failed(id)),
        };
        self.stage = Stage::GivenUp;
        let failed = self.failed(failed, message);
        self.tell(None, &failed);
        self.take(Event::Shutdown);
    }

    /// That something cannot come up, with its last words.
    pub(super) fn failed(&self, id: Option<Id>, message: String) -> Progress {
        let hand = id.and_then(|id| self.hands.get(&id));
        Progress::Failed {
            instance: hand.map(|hand| hand.planned.name.clone()),
            message,
            tail: hand.map_or_else(Vec::new, |hand| logs::tail(&hand.log, TAIL)),
            code: None,
        }
    }

    /// What has been started and is not as wanted: whom to name when everything together takes too long.
    pub(super) fn late(&self, of: impl Fn(Id) -> bool) -> Option<Id> {
        self.supervisor
            .slots()
            .find(|(id, slot)| of(*id) && !slot.is_as_wanted() && slot.state != State::Waiting)
            .map(|(id, _)| id)
    }

    pub(super) fn how_it_failed(&self, id: Id) -> String {
        let (Some(hand), Some(slot)) = (self.hands.get(&id), self.supervisor.slot(id)) else {
            return "is no more".to_owned();
        };
        match (&hand.problem, slot.last_exit) {
            (Some(problem), _) => problem.clone(),
            (None, Some(exit)) if slot.in_crash_loop() => {
                format!("keeps ending ({})", hand.end(exit))
            }
            (None, Some(exit)) => format!("ended ({})", hand.end(exit)),
            (None, None) => "could not be started".to_owned(),
        }
    }

    fn announce_ready(&mut self, now: Time) {
        self.stage = Stage::Up;
        self.ready_ms = Some(millis(now));
        let memory = self
            .hands
            .values()
            .filter(|hand| hand.is_built)
            .filter_map(|hand| {
                Some((
                    hand.planned.name.clone(),
                    status::resident_memory(hand.pid?.as_raw()),
                ))
            })
            .collect();
        let ready = Progress::Ready {
            at_ms: millis(now),
            memory,
            unenforced: self.unenforced(),
        };
        self.tell(None, &ready);
    }

    /// Why limits that the file states are not enforced.
    pub(super) fn unenforced(&self) -> Option<String> {
        let states_some = |service: &Service| service.limits != Limits::default();
        let is_stated = self.lab.project.services.values().any(states_some);
        self.lab.limiting.unenforced.clone().filter(|_| is_stated)
    }

    /// The instances by service and index.
    pub(super) fn by_name(&self) -> Vec<&Hand> {
        let mut hands: Vec<&Hand> = self.hands.values().collect();
        hands.sort_by_key(|hand| (&hand.planned.service, hand.planned.index));
        hands
    }
}
