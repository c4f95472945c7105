//! What the lab's first process decides: which instance starts, is probed, restarted, stopped, killed or forgotten, and when.
//!
//! Pure: [`Supervisor::decide`] takes one event and the time and answers with the actions to carry out. It starts nothing,
//! reads no clock and holds no file descriptor, so that every order of events can be tested (see the property tests).
//!
//! Each instance has a state, and beside it what is [`Wanted`] of it. What happens moves the state; what a person asks for only changes
//! what is wanted, and [`Supervisor::decide`] then does whatever brings the one nearer to the other and is in order: nothing starts
//! before what it depends on, and of what is to stop nothing stops before what depends on it.

mod backoff;
mod event;
mod probe;
#[cfg(test)]
mod properties;
mod request;
mod slot;
#[cfg(test)]
mod tests;
mod unit;

use std::collections::BTreeMap;
use std::time::Duration;

pub use backoff::{STREAK_RESET, restart_delay};
pub use event::{Action, Event, Grace, Id, Ids, State, Verdict, Wanted};
pub use probe::{FAST_PROBE, Health, ProbeTimes};
pub use slot::{CRASH_LOOP, SETTLED, START_GRACE, START_PATIENCE, Slot};
pub use unit::{Dependency, NOT_STARTED, Unit};

use crate::compose::Condition;
use crate::kernel::reaper::Exit;
use unit::restarts_again;

/// Time since the lab's first process began, from a monotonic clock.
pub type Time = Duration;

/// Every instance of the lab.
#[derive(Debug, Clone, Default)]
pub struct Supervisor {
    slots: BTreeMap<Id, Slot>,
    next: u32,
    stopping: bool,
    finished: bool,
}

impl Supervisor {
    /// One more instance, which the next event may start. Answers with what it is called from now on.
    pub fn add(&mut self, unit: Unit) -> Id {
        let id = Id(self.next);
        self.next += 1;
        self.slots.insert(id, Slot::new(unit));
        id
    }

    /// What the instance will be from its next start on.
    pub fn replace(&mut self, id: Id, unit: Unit) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.unit = unit;
        }
    }

    /// Every instance, in the order in which they were added.
    pub fn slots(&self) -> impl Iterator<Item = (Id, &Slot)> {
        self.slots.iter().map(|(id, slot)| (*id, slot))
    }

    /// One instance; `None` when it has been forgotten.
    #[must_use]
    pub fn slot(&self, id: Id) -> Option<&Slot> {
        self.slots.get(&id)
    }

    /// Whether [`Event::Shutdown`] has happened.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Whether something waits for the instance to complete.
    #[must_use]
    pub fn is_one_shot(&self, id: Id) -> bool {
        self.slot(id).is_some_and(|one_shot| {
            self.slots
                .values()
                .flat_map(|slot| &slot.unit.after)
                .any(|dependency| {
                    dependency.service == one_shot.unit.service
                        && dependency.condition == Condition::ServiceCompletedSuccessfully
                })
        })
    }

    /// How the coming up of some instances stands; those that are gone, or going, do not count.
    #[must_use]
    pub fn verdict(&self, of: impl Fn(Id) -> bool) -> Verdict {
        let mut verdict = Verdict::Ready;
        for (id, slot) in self.slots().filter(|(id, _)| of(*id)) {
            let has_failed = match slot.state {
                State::Ended(exit) => !exit.success(),
                _ => slot.in_crash_loop() && !slot.is_well(),
            };
            if has_failed && !slot.must_end() {
                return Verdict::Failed(id);
            }
            if slot.wanted != Wanted::Gone && !slot.is_as_wanted() {
                verdict = Verdict::Pending;
            }
        }
        verdict
    }

    /// When [`Event::Tick`] is due next, if time alone can change anything.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.slots
            .values()
            .filter_map(|slot| match slot.state {
                State::Running { since } if !self.stopping => {
                    let settles = (!slot.settled && slot.must_settle()).then_some(since + SETTLED);
                    [slot.prober.due_at(), settles].into_iter().flatten().min()
                }
                State::BackingOff { until } => Some(until),
                State::Stopping { kill_at } => kill_at,
                State::Starting { give_up_at } => give_up_at,
                _ => None,
            })
            .min()
    }

    /// Takes in what happened at `now`; answers with what is to be done.
    pub fn decide(&mut self, event: Event, now: Time) -> Vec<Action> {
        let mut actions = Vec::new();
        self.take_in(event, now, &mut actions);
        self.end_pauses(now, &mut actions);
        self.end_what_must(now, &mut actions);
        if self.stopping {
            if !self.finished && self.slots.values().all(Slot::has_ended) {
                self.finished = true;
                actions.push(Action::Finish);
            }
        } else {
            self.start_what_can_start(now, &mut actions);
            self.probe_what_is_due(now, &mut actions);
        }
        actions
    }

    fn take_in(&mut self, event: Event, now: Time, actions: &mut Vec<Action>) {
        match event {
            Event::Tick => {}
            Event::Started(id) => {
                if let Some(slot) = self.slots.get_mut(&id) {
                    slot.state = State::Running { since: now };
                    slot.settled = false;
                    slot.prober.begin(slot.unit.probe, now);
                }
            }
            Event::StartFailed(id) => self.ended(id, NOT_STARTED, now),
            Event::Exited(id, exit) => self.ended(id, exit, now),
            Event::Probed(id, ok) => {
                if let Some(slot) = self.slots.get_mut(&id) {
                    slot.prober.ended(ok, now);
                }
            }
            Event::Stop(ids, grace) => self.hold(&ids, grace, now),
            Event::Kill(ids) => self.kill(&ids, actions),
            Event::Start(ids) => self.start(&ids),
            Event::Restart(ids, grace) => self.restart(&ids, grace),
            Event::Remove(ids, grace) => self.remove(&ids, grace, now),
            Event::Shutdown => self.stopping = true,
        }
    }

    fn ended(&mut self, id: Id, exit: Exit, now: Time) {
        let stopping = self.stopping;
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        let well_for = match slot.state {
            State::Running { since } => slot.prober.well_for(since, now),
            _ => Duration::ZERO,
        };
        if well_for >= STREAK_RESET {
            slot.streak = 0;
        }
        let was_told = matches!(slot.state, State::Stopping { .. });
        slot.prober.stop();
        slot.last_exit = Some(exit);
        if was_told || slot.must_end() {
            slot.state = State::Stopped;
            return;
        }
        if stopping || !restarts_again(slot.unit.restart, exit, slot.restarts) {
            slot.state = State::Ended(exit);
            return;
        }
        slot.state = State::BackingOff {
            until: now + restart_delay(slot.streak),
        };
        slot.streak = slot.streak.saturating_add(1);
    }

    fn end_pauses(&mut self, now: Time, actions: &mut Vec<Action>) {
        for (id, slot) in &mut self.slots {
            match slot.state {
                State::BackingOff { until }
                    if until <= now && !self.stopping && !slot.must_end() =>
                {
                    slot.state = State::starting(now);
                    slot.restarts = slot.restarts.saturating_add(1);
                    actions.push(Action::Start(*id));
                }
                State::Running { since } => slot.settled |= now >= since + SETTLED,
                State::Starting {
                    give_up_at: Some(at),
                } if at <= now => {
                    slot.state = State::Starting { give_up_at: None };
                    actions.push(Action::GiveUp(*id));
                }
                State::Stopping { kill_at: Some(at) } if at <= now => {
                    slot.state = State::Stopping { kill_at: None };
                    actions.push(Action::Kill(*id));
                }
                _ => {}
            }
        }
    }

    /// Stops what is to end and what nothing else that is to end depends on; settles what has no process (any more).
    fn end_what_must(&mut self, now: Time, actions: &mut Vec<Action>) {
        let stopping = self.stopping;
        let ends = |slot: &Slot| stopping || slot.must_end();
        let ending: Vec<Id> = self
            .slots()
            .filter(|(_, slot)| ends(slot))
            .map(|(id, _)| id)
            .collect();
        for id in ending {
            let Some(slot) = self.slots.get(&id) else {
                continue;
            };
            let is_needed = self.slots.values().any(|other| {
                ends(other)
                    && other.is_alive()
                    && other
                        .unit
                        .after
                        .iter()
                        .any(|dependency| dependency.service == slot.unit.service)
            });
            let Some(slot) = self.slots.get_mut(&id) else {
                continue;
            };
            if !slot.is_alive() {
                slot.again &= !stopping;
                slot.rest();
                if slot.wanted == Wanted::Gone {
                    self.slots.remove(&id);
                    actions.push(Action::Forget(id));
                }
            } else if !is_needed && matches!(slot.state, State::Running { .. }) {
                slot.state = State::Stopping {
                    kill_at: Some(slot.kill_at(now)),
                };
                actions.push(Action::Stop(id));
            } else {
                slot.hurry_start(now);
            }
        }
    }

    fn start_what_can_start(&mut self, now: Time, actions: &mut Vec<Action>) {
        let startable: Vec<Id> = self
            .slots()
            .filter(|(_, slot)| slot.state == State::Waiting && !slot.must_end())
            .filter(|(_, slot)| {
                slot.unit.after.iter().all(|dependency| {
                    self.slots
                        .values()
                        .filter(|other| other.unit.service == dependency.service)
                        .filter(|other| other.wanted != Wanted::Gone)
                        .all(|other| other.meets(dependency.condition))
                })
            })
            .map(|(id, _)| id)
            .collect();
        for id in startable {
            if let Some(slot) = self.slots.get_mut(&id) {
                slot.state = State::starting(now);
                actions.push(Action::Start(id));
            }
        }
    }

    fn probe_what_is_due(&mut self, now: Time, actions: &mut Vec<Action>) {
        for (id, slot) in &mut self.slots {
            if matches!(slot.state, State::Running { .. }) && slot.prober.take_due(now) {
                actions.push(Action::Probe(*id));
            }
        }
    }
}
