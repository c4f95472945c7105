//! Whoever listens to the lab, what each waits for, and what it is told when that has come about.

use std::collections::BTreeSet;

use tokio::sync::mpsc::UnboundedSender;

use super::keeper::Keeper;
use crate::kernel::reaper::Exit;
use crate::lab::clock::millis;
use crate::lab::protocol::{Progress, Reply};
use crate::lab::supervise::{Id, Ids, Slot, Time, Verdict};

/// What a listener waits for. Its connection ends when that has come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// The lab's own end.
    End,
    /// Nothing: what was asked for has been done.
    Now,
    /// None of its instances has a process.
    Rest,
    /// All of its instances are up, or one cannot come up, or it is too late.
    Up {
        /// When it is too late.
        until: Time,
    },
    /// Each of its instances has ended once.
    Exit,
}

/// Somebody who hears what happens.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) to: UnboundedSender<Reply>,
    /// Of which instances; `None`: of all.
    pub(super) about: Option<Ids>,
    /// One-off instances that are to have ended as well.
    pub(super) one_offs: BTreeSet<String>,
    pub(super) goal: Goal,
    /// What the request has changed, as [`Reply::Done`] counts it.
    pub(super) touched: usize,
    pub(super) began: Time,
}

impl Listener {
    /// One that hears everything until the lab ends.
    pub(super) fn of_everything(to: UnboundedSender<Reply>) -> Self {
        Self {
            to,
            about: None,
            one_offs: BTreeSet::new(),
            goal: Goal::End,
            touched: 0,
            began: Time::ZERO,
        }
    }

    fn is_about(&self, id: Id) -> bool {
        self.about.as_ref().is_none_or(|about| about.contains(&id))
    }

    /// When it is told that it is too late, if ever.
    pub(super) fn deadline(&self) -> Option<Time> {
        match self.goal {
            Goal::Up { until } => Some(until),
            Goal::End | Goal::Now | Goal::Rest | Goal::Exit => None,
        }
    }

    fn done(&self, now: Time) -> Reply {
        Reply::Done {
            touched: self.touched,
            took_ms: millis(now.saturating_sub(self.began)),
        }
    }
}

impl Keeper {
    /// Tells everybody; with `id`, those who want to hear of that instance.
    pub(super) fn tell(&mut self, id: Option<Id>, progress: &Progress) {
        self.changes.tell(id, progress);
        self.listeners.retain(|listener| {
            id.is_some_and(|id| !listener.is_about(id))
                || listener.to.send(Reply::Progress(progress.clone())).is_ok()
        });
    }

    /// Lets those go whose goal is reached, or out of reach.
    pub(super) fn answer_listeners(&mut self, now: Time) {
        let mut listeners = std::mem::take(&mut self.listeners);
        listeners.retain_mut(|listener| match self.last_word(listener, now) {
            Some(reply) => {
                let _ = listener.to.send(reply); // whoever asked may be gone
                false
            }
            None => !listener.to.is_closed(),
        });
        self.listeners = listeners;
    }

    fn last_word(&self, listener: &mut Listener, now: Time) -> Option<Reply> {
        match listener.goal {
            Goal::End => None,
            Goal::Now => Some(listener.done(now)),
            Goal::Rest => {
                let busy = self
                    .supervisor
                    .slots()
                    .any(|(id, slot)| listener.is_about(id) && slot.is_busy());
                let mut one_offs = listener.one_offs.iter();
                let stay = one_offs.any(|name| self.one_offs.contains_key(name));
                (!busy && !stay).then(|| listener.done(now))
            }
            Goal::Up { until } => match self.supervisor.verdict(|id| listener.is_about(id)) {
                Verdict::Ready if self.are_shown(listener) => Some(listener.done(now)),
                Verdict::Failed(id) => {
                    let how = self.how_it_failed(id);
                    Some(Reply::Progress(self.failed(Some(id), how)))
                }
                Verdict::Pending if now >= until => {
                    let late = self.late(|id| listener.is_about(id));
                    let waited = until.saturating_sub(listener.began).as_secs_f64();
                    let how = format!("not healthy after {waited:.1} s");
                    Some(Reply::Progress(self.failed(late, how)))
                }
                Verdict::Ready | Verdict::Pending => None,
            },
            Goal::Exit => {
                for (instance, code) in self.take_ended(&mut listener.about) {
                    let _ = listener.to.send(Reply::Ended { instance, code });
                }
                let all = listener.about.as_ref().is_none_or(Ids::is_empty);
                all.then(|| listener.done(now))
            }
        }
    }

    /// Whether others see all that it is about: names and published ports lead there. What has completed is nobody's to see.
    fn are_shown(&self, listener: &Listener) -> bool {
        self.hands
            .iter()
            .filter(|(id, _)| listener.is_about(**id))
            .filter(|(id, _)| !self.supervisor.slot(**id).is_some_and(Slot::has_completed))
            .all(|(_, hand)| self.changes.shows(&hand.planned.name))
    }

    /// Takes out those that have ended, with their names and exit codes.
    fn take_ended(&self, about: &mut Option<Ids>) -> Vec<(String, i32)> {
        let mut ended = Vec::new();
        about.iter_mut().for_each(|ids| {
            ids.retain(|id| {
                let (Some(hand), Some(slot)) = (self.hands.get(id), self.supervisor.slot(*id))
                else {
                    return false; // gone altogether
                };
                match slot.last_exit {
                    Some(exit) if hand.pid.is_none() => {
                        ended.push((hand.planned.name.clone(), Exit::shell_code(exit)));
                        false
                    }
                    _ => true,
                }
            });
        });
        ended
    }
}
