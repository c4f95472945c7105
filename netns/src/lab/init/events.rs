//! What happened lately, and whoever wants to hear what happens next.

use std::collections::VecDeque;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::sync::broadcast;

use super::allotment::Allotment;
use super::hand::Hand;
use super::keeper::Keeper;
use crate::kernel::reaper::Exit;
use crate::lab::clock::unix_ms;
use crate::lab::events::Event;
use crate::lab::processes::Process;
use crate::lab::protocol::InstanceState;
use crate::lab::supervise::{Id, State};

/// How many events are kept for `events --since`, and how many a slow listener may be behind.
const KEPT: usize = 1024;

/// The last events. Telling one never waits for anybody: a listener that is too far behind misses some, and hears that it did.
#[derive(Debug)]
pub(super) struct Journal {
    kept: VecDeque<Event>,
    listeners: broadcast::Sender<Event>,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            kept: VecDeque::new(),
            listeners: broadcast::channel(KEPT).0,
        }
    }
}

impl Journal {
    /// Keeps an event and tells it.
    pub(super) fn note(&mut self, event: Event) {
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(event.clone());
        let _ = self.listeners.send(event); // nobody need be listening
    }

    /// What happened at or after `since_unix_ms`, and what will: nothing in between is missed, nothing comes twice.
    pub(super) fn listen(
        &self,
        since_unix_ms: Option<u64>,
    ) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let past = self
            .kept
            .iter()
            .filter(|event| since_unix_ms.is_some_and(|since| event.at_unix_ms >= since))
            .cloned()
            .collect();
        (past, self.listeners.subscribe())
    }
}

impl Keeper {
    /// Notes what has happened to an instance.
    pub(super) fn note(&mut self, id: Id, action: &str, attributes: &[(&str, String)]) {
        let Some(hand) = self.hands.get(&id) else {
            return;
        };
        self.journal.note(Event {
            at_unix_ms: unix_ms(),
            instance: hand.planned.name.clone(),
            service: hand.planned.service.clone(),
            action: action.to_owned(),
            attributes: attributes
                .iter()
                .map(|(key, value)| ((*key).to_owned(), value.clone()))
                .collect(),
        });
    }

    /// Notes that the instance's process has been started.
    pub(super) fn note_start(&mut self, id: Id) {
        let restarts = self.supervisor.slot(id).map_or(0, |slot| slot.restarts);
        let again = [("restarts", restarts.to_string())];
        self.note(id, "start", if restarts > 0 { &again } else { &[] });
    }

    /// Notes that the instance's process has ended. To be called once the hand knows.
    pub(super) fn note_end(&mut self, id: Id, exit: Exit) {
        if self.hands.get(&id).is_some_and(|hand| hand.memory.ended_it) {
            self.note(id, "oom", &[]);
        }
        let code = exit.shell_code().to_string();
        self.note(id, "die", &[("exitCode", code)]);
    }

    /// Notes that programs beside the instance's own, which go on, have met its memory limit.
    pub(super) fn note_memory(&mut self, first: Pid) {
        let of_it = |(_, hand): &(&Id, &mut Hand)| hand.pid == Some(first);
        let Some((id, hand)) = self.hands.iter_mut().find(of_it) else {
            return; // it has ended, and that is told
        };
        if Process::read(first.as_raw()).is_none_or(|process| process.is_ending) {
            return; // it is ending: what was killed is told with that
        }
        let usage = hand.allotment.as_ref().map(Allotment::usage);
        let kills = usage.and_then(|usage| usage.oom_kills).unwrap_or(0);
        let id = *id;
        if hand.memory.counted(kills) {
            self.note(id, "oom", &[]);
        }
    }

    /// Notes that the instance is in another state, where that has a name of its own.
    pub(super) fn note_state(&mut self, id: Id, had_been: InstanceState, state: InstanceState) {
        match state {
            // What its check said last is no news.
            InstanceState::Healthy | InstanceState::Unhealthy
                if had_been == InstanceState::Paused => {}
            InstanceState::Healthy | InstanceState::Unhealthy => {
                self.note(id, &format!("health_status: {}", state.word()), &[]);
            }
            InstanceState::Stopping => {
                let is_killed = self
                    .supervisor
                    .slot(id)
                    .is_some_and(|slot| slot.state == State::Stopping { kill_at: None });
                let signal = match self.hands.get(&id) {
                    _ if is_killed => Some(Signal::SIGKILL.to_string()),
                    hand => hand.map(|hand| hand.stop_signal.to_string()),
                };
                self.note(id, "kill", &[("signal", signal.unwrap_or_default())]);
            }
            InstanceState::Stopped if had_been == InstanceState::Stopping => {
                self.note(id, "stop", &[]);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn event(at_unix_ms: u64) -> Event {
        Event {
            at_unix_ms,
            instance: "a-1".into(),
            service: "a".into(),
            action: "start".into(),
            attributes: BTreeMap::new(),
        }
    }

    #[tokio::test]
    async fn the_past_is_bounded_and_joins_what_comes() {
        let mut journal = Journal::default();
        for at in 0..2000 {
            journal.note(event(at));
        }
        let (past, mut coming) = journal.listen(Some(1990));
        assert_eq!(past.len(), 10);
        assert_eq!(journal.listen(Some(0)).0.len(), KEPT);
        assert!(journal.listen(None).0.is_empty());
        journal.note(event(2000));
        assert_eq!(coming.recv().await, Ok(event(2000)));
    }
}
