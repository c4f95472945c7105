//! The main task: takes messages, asks the supervisor core, carries out what it answers.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::change::{Changes, Relays};
use super::events::Journal;
use super::hand::Hand;
use super::listener::Listener;
use super::process::Starter;
use super::serve::Message;
use super::{Lab, instance};
use crate::kernel::enter::heed_signals;
use crate::lab::clock::{Clock, millis};
use crate::lab::protocol::{InstanceState, Progress, Reply};
use crate::lab::supervise::{Action, Event, Id, Supervisor, Time};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    ComingUp,
    Up,
    GivenUp,
}

pub(super) struct Keeper {
    pub(super) lab: Lab,
    pub(super) pid: i32,
    pub(super) network_ms: f64,
    pub(super) clock: Clock,
    pub(super) supervisor: Supervisor,
    pub(super) hands: BTreeMap<Id, Hand>,
    /// One-off instances, by name.
    pub(super) one_offs: BTreeMap<String, Hand>,
    pub(super) starter: Starter,
    pub(super) listeners: Vec<Listener>,
    pub(super) journal: Journal,
    pub(super) changes: Changes,
    pub(super) detached: bool,
    /// Whether the uplink stands.
    pub(super) connected: bool,
    pub(super) stage: Stage,
    pub(super) ready_ms: Option<u64>,
    pub(super) finished: bool,
}

impl Keeper {
    pub(super) fn new(
        lab: Lab,
        pid: i32,
        clock: Clock,
        starter: Starter,
        relays: Relays,
        to_launcher: UnboundedSender<Reply>,
    ) -> Self {
        let machine = lab.machine();
        let mut supervisor = Supervisor::default();
        let mut hands = BTreeMap::new();
        for planned in &lab.plan.instances {
            if let Some(service) = lab.project.services.get(&planned.service) {
                let id = supervisor.add(instance::unit(service, planned));
                hands.insert(id, Hand::new(service, planned, &machine));
            }
        }
        let front = lab.plan.front(|_| true);
        let network_ms = starter.network.duration().as_secs_f64() * 1e3;
        Self {
            lab,
            pid,
            network_ms,
            clock,
            supervisor,
            hands,
            one_offs: BTreeMap::new(),
            starter,
            listeners: vec![Listener::of_everything(to_launcher)],
            journal: Journal::default(),
            changes: Changes::new(relays, front),
            detached: false,
            connected: false,
            stage: Stage::ComingUp,
            ready_ms: None,
            finished: false,
        }
    }

    pub(super) async fn run(&mut self, inbox: &mut UnboundedReceiver<Message>) -> io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        heed_signals()?;
        self.take(Event::Tick);
        while !self.finished {
            let deadline = self.deadline();
            tokio::select! {
                Some(message) = inbox.recv() => self.hear(message),
                () = tokio::time::sleep_until(deadline.into()) => self.take(Event::Tick),
                _ = terminate.recv() => self.take(Event::Shutdown),
                _ = interrupt.recv() => self.take(Event::Shutdown),
            }
        }
        Ok(())
    }

    fn deadline(&self) -> std::time::Instant {
        let give_up = (self.stage == Stage::ComingUp).then_some(self.lab.wait_timeout);
        let idle = self.clock.now() + Duration::from_secs(3600);
        let listeners = self.listeners.iter().map(Listener::deadline);
        let next = [self.supervisor.next_deadline(), give_up]
            .into_iter()
            .chain(listeners)
            .flatten()
            .fold(idle, Time::min);
        self.clock.instant(next)
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Spawned { id, run, started } => self.spawned(id, run, started),
            Message::Exited { id, run, exit } => {
                if let Some(hand) = self.hand_of(id, run) {
                    hand.ended(exit);
                    self.note_end(id, exit);
                    self.take(Event::Exited(id, exit));
                }
            }
            Message::Probed { id, run, healthy } => {
                match self.hand_of(id, run) {
                    // Halted with everything else it could only be late.
                    Some(hand) if hand.is_paused => hand.owes_probe = true,
                    Some(_) => self.take(Event::Probed(id, healthy)),
                    None => {}
                }
            }
            Message::Status(answer) => {
                let _ = answer.send(self.status()); // the one who asked may be gone
            }
            Message::Usage(answer) => {
                let _ = answer.send(self.survey());
            }
            Message::Events {
                since_unix_ms,
                answer,
            } => {
                let _ = answer.send(self.journal.listen(since_unix_ms));
            }
            Message::Down(replies) => {
                self.listeners.push(Listener::of_everything(replies));
                self.take(Event::Shutdown);
            }
            Message::Steer {
                steer,
                services,
                wait,
                replies,
            } => self.steer(&steer, &services, wait, replies),
            Message::Change(asked) => {
                self.changes.queue.push_back(*asked);
                self.advance();
            }
            Message::Planned(target) => self.planned(*target),
            Message::Applied(outcome) => self.applied(outcome),
            Message::Admit {
                service,
                name,
                replies,
                answer,
            } => {
                let _ = answer.send(self.admit(&service, name, replies)); // whoever asked may be gone
            }
            Message::Host { name, run, answer } => {
                let _ = answer.send(self.host(&name, run));
            }
            Message::Arrived { name, pid } => self.arrived(&name, pid),
            Message::Overdue { name, pid } => self.overdue(&name, pid),
            Message::Dismiss(name) => self.dismiss(name),
            Message::Locate { exec, answer } => {
                let _ = answer.send(self.locate(exec));
            }
            Message::Left(pid) => self.note_memory(pid),
            Message::Connected => self.connected = true,
            Message::Detached => self.detached = true,
            Message::LauncherGone if self.detached => {}
            Message::LauncherGone => self.take(Event::Shutdown),
        }
    }

    /// The instance, if the news is of its present process.
    fn hand_of(&mut self, id: Id, run: u64) -> Option<&mut Hand> {
        self.hands.get_mut(&id).filter(|hand| hand.run == run)
    }

    fn spawned(&mut self, id: Id, run: u64, started: Result<Pid, String>) {
        let Some(hand) = self.hand_of(id, run) else {
            return;
        };
        let event = match started {
            Ok(pid) => {
                hand.pid = Some(pid);
                hand.problem = None;
                self.note_start(id);
                Event::Started(id)
            }
            Err(problem) => {
                hand.problem = Some(problem.clone());
                self.note(id, "start_failed", &[("reason", problem)]);
                Event::StartFailed(id)
            }
        };
        self.take(event);
    }

    pub(super) fn take(&mut self, event: Event) {
        self.take_all([event]);
    }

    /// Takes in events of one moment; whoever listens hears what came of all of them.
    pub(super) fn take_all(&mut self, events: impl IntoIterator<Item = Event>) {
        let now = self.clock.now();
        for event in events {
            for action in self.supervisor.decide(event, now) {
                self.carry_out(action, now);
            }
        }
        self.show_changes(now);
        self.judge(now);
        self.answer_listeners(now);
        self.advance();
    }

    pub(super) fn carry_out(&mut self, action: Action, now: Time) {
        let (Action::Start(id)
        | Action::GiveUp(id)
        | Action::Probe(id)
        | Action::Stop(id)
        | Action::Kill(id)
        | Action::Forget(id)) = action
        else {
            self.finished = true;
            return;
        };
        let Some(hand) = self.hands.get_mut(&id) else {
            return;
        };
        match action {
            Action::Start(_) => {
                hand.run += 1;
                hand.since = now;
                self.starter.start(id, hand);
            }
            Action::GiveUp(_) => {
                if let Some(give_up) = hand.give_up.take() {
                    let _ = give_up.send(now.saturating_sub(hand.since)); // word of how it ended is on its way
                }
            }
            Action::Probe(_) if hand.is_paused => hand.owes_probe = true,
            Action::Probe(_) => {
                if let (Some(pid), Some((check, timeout))) = (hand.pid, &hand.check) {
                    self.starter
                        .probe(id, hand.run, pid, Arc::clone(check), *timeout);
                }
            }
            Action::Stop(_) => {
                hand.since = now;
                hand.unpause(); // else it would not hear of it
                if let Some(pid) = hand.pid {
                    Starter::stop(pid, hand.stop_signal);
                }
            }
            Action::Kill(_) => {
                hand.unpause();
                if hand.shown != InstanceState::Stopping {
                    hand.since = now;
                }
                if let Some(pid) = hand.pid {
                    let _ = kill(pid, Signal::SIGKILL); // it may have ended just now; its end is on its way here
                }
            }
            Action::Forget(_) => {
                let gone = Progress::Instance {
                    instance: hand.planned.name.clone(),
                    state: InstanceState::Removed,
                    at_ms: millis(now),
                    took_ms: millis(now.saturating_sub(hand.since)),
                    detail: None,
                };
                let name = hand.planned.name.clone();
                let allotment = hand.allotment.clone();
                self.hands.remove(&id);
                // One that takes its place has its name, and with it its group.
                let is_replaced = self.hands.values().any(|hand| hand.planned.name == name);
                if let Some(allotment) = allotment.filter(|_| !is_replaced) {
                    allotment.give_back();
                }
                self.tell(Some(id), &gone);
            }
            Action::Finish => {}
        }
    }
}
