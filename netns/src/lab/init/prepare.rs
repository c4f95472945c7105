//! A change before it is begun: what the lab is to be is found out beside the main task, and held against what runs on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::change::{Asked, Guests, Moving, Stage, Work};
use super::hand::Hand;
use super::instance;
use super::keeper::Keeper;
use super::serve::Message;
use super::target::{Refusal, Standing, Target};
use crate::lab::supervise::{Event, Id, Ids, Wanted};

impl Keeper {
    /// Finds out what is asked for; [`Message::Planned`] follows.
    pub(super) fn plan(&mut self, asked: Asked) {
        if let Some(refusal) = self.cannot_be_planned(&asked) {
            return asked.refuse(refusal, None);
        }
        let mut guests = self.changes.guests.clone();
        match &asked.guests {
            Guests::Stay => {}
            Guests::Admit(guest) => guests.push(guest.clone()),
            Guests::Dismiss(name) => guests.retain(|guest| guest.name != *name),
        }
        let standing = Standing {
            project: self.lab.project.clone(),
            plan: self.lab.plan.clone(),
            binaries: self.lab.binaries.clone(),
            published: self.changes.relays.keys().copied().collect(),
            state: self.lab.state.clone(),
            groups: self.lab.limiting.groups.clone(),
        };
        let change = Arc::clone(&asked.change);
        let messages = self.starter.messages.clone();
        self.changes.working = Some(Work::Plan(asked));
        tokio::spawn(async move {
            let planning = tokio::task::spawn_blocking(move || standing.target(&change, guests));
            let target = planning.await;
            let target = target.unwrap_or_else(|error| Err((error.to_string(), None)));
            let _ = messages.send(Message::Planned(Box::new(target))); // the main task is gone only when the lab ends
        });
    }

    fn cannot_be_planned(&self, asked: &Asked) -> Option<String> {
        let (sockets, ports) = (asked.sockets.len(), asked.change.ports.len());
        if self.lab.held.is_some() {
            return Some(
                "the lab is held after a step of its network; `netns-setup down` first".to_owned(),
            );
        }
        (sockets != ports)
            .then(|| format!("{sockets} sockets came for {ports} ports; publish fewer at once"))
    }

    /// It has been found out.
    pub(super) fn planned(&mut self, target: Result<Target, Refusal>) {
        match self.changes.working.take() {
            Some(Work::Plan(asked)) => match target {
                Ok(target) => {
                    let moving = self.moving(asked, target);
                    self.begin(moving);
                }
                Err((message, code)) => asked.refuse(message, code),
            },
            other => self.changes.working = other, // it was refused meanwhile, as the lab is being taken down
        }
        self.take(Event::Tick);
    }

    fn moving(&self, asked: Asked, mut target: Target) -> Moving {
        let leaving: Ids = self
            .ids_of(|hand| target.leaving.contains(&hand.planned.name))
            .collect();
        let renewed = self.renewed(&asked, &mut target, &leaving);
        let start = self
            .ids_of(|hand| asked.change.services.contains(&hand.planned.service))
            .filter(|id| !leaving.contains(id) && !renewed.contains_key(id))
            .filter(|id| {
                self.supervisor.slot(*id).is_some_and(|slot| {
                    slot.wanted == Wanted::Held || slot.has_ended() && !slot.has_completed()
                })
            })
            .collect();
        Moving {
            target,
            leaving,
            renewed,
            start,
            asked,
            began: self.clock.now(),
            stage: Stage::Hiding,
        }
    }

    fn ids_of(&self, which: impl Fn(&Hand) -> bool) -> impl Iterator<Item = Id> {
        self.hands
            .iter()
            .filter(move |(_, hand)| which(hand))
            .map(|(id, _)| *id)
    }

    /// Those of the instances that stay which are to be started anew, as what they will be.
    fn renewed(&self, asked: &Asked, target: &mut Target, leaving: &Ids) -> BTreeMap<Id, Hand> {
        let mut renewed = BTreeMap::new();
        for (id, hand) in self.hands.iter().filter(|(id, _)| !leaving.contains(id)) {
            let (Some(next), Some(service), Some(planned), Some(slot)) = (
                target.hands.remove(&hand.planned.name),
                target.project.services.get(&hand.planned.service),
                target.plan.instance(&hand.planned.name),
                self.supervisor.slot(*id),
            ) else {
                continue;
            };
            let unit = instance::unit(service, planned);
            let same = hand.is_made_like(&next)
                && (unit.restart, unit.probe, unit.stop_grace)
                    == (slot.unit.restart, slot.unit.probe, slot.unit.stop_grace);
            if asked.change.anew.contains(&hand.planned.service) || !same {
                renewed.insert(*id, next);
            }
        }
        renewed
    }
}
