//! What a person asks of instances that are there: stop, start, restart, kill, wait.

use std::collections::BTreeSet;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use tokio::sync::mpsc::UnboundedSender;

use super::keeper::Keeper;
use super::listener::{Goal, Listener};
use super::target::no_service;
use crate::lab::protocol::{Reply, Steer};
use crate::lab::supervise::{Event, Id, Ids, Slot, State, Wanted};

/// What is to be done, of whom the asker hears, and until when.
struct Order {
    events: Vec<Event>,
    touched: usize,
    about: Ids,
    goal: Goal,
    /// Whether they are to halt, or to go on.
    paused: Option<bool>,
}

impl Order {
    /// Of supervised instances nothing is asked.
    fn of_nothing() -> Self {
        Self {
            events: Vec::new(),
            touched: 0,
            about: Ids::new(),
            goal: Goal::Rest,
            paused: None,
        }
    }
}

impl Keeper {
    /// Does as asked, or says why not before anything is touched.
    pub(super) fn steer(
        &mut self,
        steer: &Steer,
        services: &[String],
        wait: Option<Duration>,
        to: UnboundedSender<Reply>,
    ) {
        let (one_offs, others) = match self.one_offs_of(steer, services) {
            Ok(told_apart) => told_apart,
            Err(message) => return drop(to.send(Reply::refusal(message, None))),
        };
        let order = match others.is_empty() && !one_offs.is_empty() {
            true => Ok(Order::of_nothing()),
            false => self.order(steer, &others, wait),
        };
        match order {
            Ok(order) => {
                let touched = order.touched + one_offs.len();
                let one_offs = self.end_one_offs(steer, one_offs);
                if let Some(paused) = order.paused {
                    let now = self.clock.now();
                    for id in &order.about {
                        self.set_paused(*id, paused, now);
                    }
                }
                self.listeners.push(Listener {
                    to,
                    about: Some(order.about),
                    one_offs,
                    goal: order.goal,
                    touched,
                    began: self.clock.now(),
                });
                for event in order.events {
                    self.take(event);
                }
                self.take(Event::Tick);
            }
            Err(message) => {
                let _ = to.send(Reply::refusal(message, None));
            }
        }
    }

    fn order(
        &self,
        steer: &Steer,
        services: &[String],
        wait: Option<Duration>,
    ) -> Result<Order, String> {
        if let Some(held) = &self.lab.held {
            return Err(format!(
                "the lab is held after step {} of {} and runs nothing\n = help: `netns-setup down`, then `up`",
                held.step, held.of
            ));
        }
        if self.supervisor.is_stopping() {
            return Err("the lab is being taken down".to_owned());
        }
        let named = self.named(services)?;
        let up = |about: &Ids| match wait {
            Some(wait) if !about.is_empty() => Goal::Up {
                until: self.clock.now() + wait,
            },
            _ => Goal::Now,
        };
        let order = |event: Event, touched: Ids, goal: Goal| Order {
            touched: touched.len(),
            about: touched,
            events: vec![event],
            goal,
            paused: None,
        };
        Ok(match steer {
            Steer::Stop { grace_ms } => {
                let touched = self.those(&named, |slot| !slot.has_ended());
                let grace = grace_ms.map(Duration::from_millis);
                order(Event::Stop(named, grace), touched, Goal::Rest)
            }
            Steer::Start => {
                let rests = |slot: &Slot| slot.has_ended() || slot.wanted == Wanted::Held;
                let mut wanted = self.those(&named, |slot| {
                    rests(slot) && (!services.is_empty() || !slot.has_completed())
                });
                let needed = self.needed_by(&named);
                wanted.extend(self.those(&needed, |slot| rests(slot) && !slot.has_completed()));
                let goal = up(&wanted);
                order(Event::Start(wanted.clone()), wanted, goal)
            }
            Steer::Restart { grace_ms, no_deps } => {
                let mut wanted =
                    self.those(&named, |slot| !services.is_empty() || !slot.has_completed());
                if !no_deps {
                    self.add_those_restarted_with(&mut wanted);
                }
                let grace = grace_ms.map(Duration::from_millis);
                let goal = up(&wanted);
                order(Event::Restart(wanted.clone(), grace), wanted, goal)
            }
            Steer::Kill { signal } => self.kill_order(&named, *signal)?,
            Steer::Pause | Steer::Unpause => {
                let paused = *steer == Steer::Pause;
                let runs = |slot: &Slot| matches!(slot.state, State::Running { .. });
                let mut touched = self.those(&named, runs);
                touched.retain(|id| {
                    let hand = self.hands.get(id).filter(|hand| hand.pid.is_some());
                    hand.is_some_and(|hand| hand.is_paused != paused)
                });
                Order {
                    paused: Some(paused),
                    ..order(Event::Tick, touched, Goal::Now)
                }
            }
            Steer::Wait => order(Event::Tick, named, Goal::Exit),
        })
    }

    /// A signal that stops holds the instance as `stop` does; any other is only sent.
    fn kill_order(&self, named: &Ids, signal: i32) -> Result<Order, String> {
        let signal = Signal::try_from(signal)
            .map_err(|_| format!("{signal} is not the number of a signal"))?;
        let running: Ids = named
            .iter()
            .copied()
            .filter(|id| self.hands.get(id).is_some_and(|hand| hand.pid.is_some()))
            .collect();
        if running.is_empty() {
            return Err("nothing of that runs; `netns-setup ps` shows what does".to_owned());
        }
        let stops = |id: &Id| {
            self.hands
                .get(id)
                .is_some_and(|hand| hand.stop_signal == signal)
        };
        let mut order = Order {
            events: Vec::new(),
            touched: running.len(),
            about: running.clone(),
            goal: Goal::Rest,
            paused: None,
        };
        if signal == Signal::SIGKILL {
            order.events.push(Event::Kill(running));
            return Ok(order);
        }
        let (stopped, told): (Ids, Ids) = running.into_iter().partition(stops);
        for pid in told.iter().filter_map(|id| self.hands.get(id)?.pid) {
            let _ = kill(pid, signal); // it may have ended just now
        }
        order.about.clone_from(&stopped);
        order.events.push(Event::Stop(stopped, None));
        Ok(order)
    }

    /// The instances of the services, or the instances themselves, of these names; all when there are none.
    pub(super) fn named(&self, names: &[String]) -> Result<Ids, String> {
        let of = |name: &str| -> Ids {
            self.hands
                .iter()
                .filter(|(_, hand)| hand.planned.service == name || hand.planned.name == name)
                .map(|(id, _)| *id)
                .collect()
        };
        let mut ids = Ids::new();
        for name in names {
            let found = of(name);
            if found.is_empty() && !self.lab.project.services.contains_key(name) {
                return Err(no_service(&self.lab.project, name));
            }
            ids.extend(found);
        }
        if names.is_empty() {
            ids.extend(self.hands.keys());
        }
        Ok(ids)
    }

    /// What is said of a name that nothing has.
    fn those(&self, ids: &Ids, which: impl Fn(&Slot) -> bool) -> Ids {
        ids.iter()
            .copied()
            .filter(|id| self.supervisor.slot(*id).is_some_and(&which))
            .collect()
    }

    /// Every instance that these depend on, near or far.
    fn needed_by(&self, ids: &Ids) -> Ids {
        let mut needed = ids.clone();
        loop {
            let services: BTreeSet<&str> = needed
                .iter()
                .filter_map(|id| self.supervisor.slot(*id))
                .flat_map(|slot| &slot.unit.after)
                .map(|dependency| dependency.service.as_str())
                .collect();
            let before = needed.len();
            needed.extend(
                self.supervisor
                    .slots()
                    .filter(|(_, slot)| services.contains(slot.unit.service.as_str()))
                    .map(|(id, _)| id),
            );
            if needed.len() == before {
                return needed;
            }
        }
    }

    /// Adds those that `depends_on` says are restarted with these (`restart: true`), near or far.
    fn add_those_restarted_with(&self, ids: &mut Ids) {
        loop {
            let services: BTreeSet<&str> = ids
                .iter()
                .filter_map(|id| self.supervisor.slot(*id))
                .map(|slot| slot.unit.service.as_str())
                .collect();
            let with: Ids = self
                .supervisor
                .slots()
                .filter(|(_, slot)| {
                    matches!(slot.state, State::Running { .. })
                        && slot.unit.after.iter().any(|dependency| {
                            dependency.restart && services.contains(dependency.service.as_str())
                        })
                })
                .map(|(id, _)| id)
                .collect();
            if with.is_subset(ids) {
                return;
            }
            ids.extend(with);
        }
    }
}
