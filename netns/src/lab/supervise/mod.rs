//! What the lab's first process decides: which instance starts, is probed, restarted, stopped or killed, and when.
//!
//! Pure: [`Supervisor::decide`] takes one event and the time and answers with the actions to carry out. It starts nothing,
//! reads no clock and holds no file descriptor, so that every order of events can be tested (see the property tests).

mod backoff;
mod event;
mod probe;
mod slot;
#[cfg(test)]
mod tests;
mod unit;

use std::time::Duration;

pub use backoff::{STREAK_RESET, restart_delay};
pub use event::{Action, Event, State, Verdict};
pub use probe::{FAST_PROBE, Health, ProbeTimes};
pub use slot::{CRASH_LOOP, SETTLED, Slot};
pub use unit::{Dependency, NOT_STARTED, Unit};

use crate::compose::Condition;
use crate::kernel::reaper::Exit;
use probe::Prober;
use unit::restarts_again;

/// Time since the lab's first process began, from a monotonic clock.
pub type Time = Duration;

/// Every instance of the lab.
#[derive(Debug, Clone)]
pub struct Supervisor {
    slots: Vec<Slot>,
    stopping: bool,
    finished: bool,
}

impl Supervisor {
    /// A lab of which nothing runs yet. Instances are numbered as in `units`.
    #[must_use]
    pub fn new(units: Vec<Unit>) -> Self {
        let slots = units
            .into_iter()
            .map(|unit| Slot {
                prober: Prober::new(unit.probe),
                unit,
                state: State::Waiting,
                restarts: 0,
                last_exit: None,
                streak: 0,
                settled: false,
            })
            .collect();
        Self {
            slots,
            stopping: false,
            finished: false,
        }
    }

    /// Every instance, numbered as given.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Whether [`Event::Shutdown`] has happened.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Whether something waits for the instance to complete.
    #[must_use]
    pub fn is_one_shot(&self, index: usize) -> bool {
        let service = &self.slots[index].unit.service;
        self.slots
            .iter()
            .flat_map(|slot| &slot.unit.after)
            .any(|dependency| {
                dependency.service == *service
                    && dependency.condition == Condition::ServiceCompletedSuccessfully
            })
    }

    /// How bringing the lab up stands.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let failed = |slot: &Slot| match slot.state {
            State::Ended(exit) => !exit.is_some_and(Exit::success),
            _ => slot.in_crash_loop() && !slot.is_well(),
        };
        if let Some(index) = self.slots.iter().position(failed) {
            return Verdict::Failed(index);
        }
        let ready = self
            .slots
            .iter()
            .all(|slot| slot.is_up() || slot.has_completed());
        if ready {
            Verdict::Ready
        } else {
            Verdict::Pending
        }
    }

    /// When [`Event::Tick`] is due next, if time alone can change anything.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.slots
            .iter()
            .filter_map(|slot| match slot.state {
                State::Running { since } if !self.stopping => {
                    let settles = (!slot.settled && slot.must_settle()).then_some(since + SETTLED);
                    [slot.prober.due_at(), settles].into_iter().flatten().min()
                }
                State::BackingOff { until } => Some(until),
                State::Stopping { kill_at } => kill_at,
                _ => None,
            })
            .min()
    }

    /// Takes in what happened at `now`; answers with what is to be done.
    pub fn decide(&mut self, event: Event, now: Time) -> Vec<Action> {
        let mut actions = Vec::new();
        self.take_in(event, now, &mut actions);
        self.end_pauses(now, &mut actions);
        if self.stopping {
            self.stop_what_nothing_needs(now, &mut actions);
        } else {
            self.start_what_can_start(&mut actions);
            self.probe_what_is_due(now, &mut actions);
        }
        actions
    }

    fn take_in(&mut self, event: Event, now: Time, actions: &mut Vec<Action>) {
        match event {
            Event::Tick => {}
            Event::Started(index) => {
                let slot = &mut self.slots[index];
                slot.state = State::Running { since: now };
                slot.settled = false;
                slot.prober.begin(now);
            }
            Event::StartFailed(index) => self.ended(index, NOT_STARTED, now),
            Event::Exited(index, exit) => self.ended(index, exit, now),
            Event::Probed(index, ok) => {
                let slot = &mut self.slots[index];
                slot.prober.ended(ok, now);
            }
            Event::Shutdown => {
                self.stopping = true;
                for slot in &mut self.slots {
                    if matches!(slot.state, State::Waiting | State::BackingOff { .. }) {
                        slot.state = State::Ended(slot.last_exit);
                    }
                }
                if self.slots.is_empty() {
                    actions.push(Action::Finish);
                    self.finished = true;
                }
            }
        }
    }

    fn ended(&mut self, index: usize, exit: Exit, now: Time) {
        let stopping = self.stopping;
        let slot = &mut self.slots[index];
        let well_for = match slot.state {
            State::Running { since } => slot.prober.well_for(since, now),
            _ => Duration::ZERO,
        };
        if well_for >= STREAK_RESET {
            slot.streak = 0;
        }
        slot.prober.stop();
        slot.last_exit = Some(exit);
        if stopping || !restarts_again(slot.unit.restart, exit, slot.restarts) {
            slot.state = State::Ended(Some(exit));
            return;
        }
        slot.state = State::BackingOff {
            until: now + restart_delay(slot.streak),
        };
        slot.streak = slot.streak.saturating_add(1);
    }

    fn end_pauses(&mut self, now: Time, actions: &mut Vec<Action>) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            match slot.state {
                State::BackingOff { until } if until <= now => {
                    slot.state = State::Starting;
                    slot.restarts = slot.restarts.saturating_add(1);
                    actions.push(Action::Start(index));
                }
                State::Running { since } => slot.settled |= now >= since + SETTLED,
                State::Stopping { kill_at: Some(at) } if at <= now => {
                    slot.state = State::Stopping { kill_at: None };
                    actions.push(Action::Kill(index));
                }
                _ => {}
            }
        }
    }

    fn start_what_can_start(&mut self, actions: &mut Vec<Action>) {
        let startable: Vec<usize> = (0..self.slots.len())
            .filter(|&index| self.slots[index].state == State::Waiting)
            .filter(|&index| {
                self.slots[index].unit.after.iter().all(|dependency| {
                    self.slots
                        .iter()
                        .filter(|other| other.unit.service == dependency.service)
                        .all(|other| other.meets(dependency.condition))
                })
            })
            .collect();
        for index in startable {
            self.slots[index].state = State::Starting;
            actions.push(Action::Start(index));
        }
    }

    fn probe_what_is_due(&mut self, now: Time, actions: &mut Vec<Action>) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if matches!(slot.state, State::Running { .. }) && slot.prober.take_due(now) {
                actions.push(Action::Probe(index));
            }
        }
    }

    fn stop_what_nothing_needs(&mut self, now: Time, actions: &mut Vec<Action>) {
        for index in 0..self.slots.len() {
            let service = &self.slots[index].unit.service;
            let needed = self.slots.iter().any(|other| {
                !other.has_ended()
                    && other
                        .unit
                        .after
                        .iter()
                        .any(|dependency| dependency.service == *service)
            });
            if !needed && matches!(self.slots[index].state, State::Running { .. }) {
                let grace = self.slots[index].unit.stop_grace;
                self.slots[index].state = State::Stopping {
                    kill_at: Some(now + grace),
                };
                actions.push(Action::Stop(index));
            }
        }
        if !self.finished && self.slots.iter().all(Slot::has_ended) {
            self.finished = true;
            actions.push(Action::Finish);
        }
    }
}
