//! Making something else of a lab that runs, one request after the other.
//!
//! ```text
//! hide what goes ──> stop it ──> steps: its links and namespaces go, new ones come ──> start what came ──> show it once it is up
//! ```
//! What an instance serves is moved away from it before it is told to stop, and to it when it can serve: nobody loses a connection by
//! a change of scale. The steps are taken beside the main task; one change is under way at a time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::TcpListener;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;

use super::hand::Hand;
use super::instance;
use super::keeper::Keeper;
use super::listener::{Goal, Listener};
use super::target::Target;
use crate::kernel::relay::Relay;
use crate::lab::protocol::{Change, Progress, Reply};
use crate::lab::supervise::{Event, Id, Ids, Time};
use crate::plan::{Front, Guest, On, Plan};

/// The published ports.
pub(super) type Relays = BTreeMap<On, Relay>;

/// A change that was asked for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) change: Arc<Change>,
    pub(super) guests: Guests,
    pub(super) sockets: Vec<TcpListener>,
    pub(super) replies: UnboundedSender<Reply>,
}

impl Asked {
    pub(super) fn refuse(self, message: String, code: Option<u8>) {
        let _ = self.replies.send(Reply::refusal(message, code)); // whoever asked may be gone
    }
}

/// What becomes of the one-off instances.
#[derive(Debug, Default)]
pub(super) enum Guests {
    /// They stay.
    #[default]
    Stay,
    /// One more comes.
    Admit(Guest),
    /// The one of that name goes.
    Dismiss(String),
}

/// Changes: under way, and waiting.
#[derive(Debug)]
pub(super) struct Changes {
    pub(super) queue: VecDeque<Asked>,
    pub(super) relays: Relays,
    /// The one-off instances there are, and how many there have been.
    pub(super) guests: Vec<Guest>,
    pub(super) admitted: u32,
    pub(super) moving: Option<Moving>,
    /// What others see of the instances now, and the names of those that they do not see.
    pub(super) front: Front,
    pub(super) hidden: BTreeSet<String>,
    pub(super) working: Option<Work>,
}

/// Steps that are being taken beside the main task.
#[derive(Debug)]
pub(super) enum Work {
    /// What was asked for is being planned.
    Plan(Asked),
    /// Others are shown something else; these names among it for the first time.
    Show(Front, BTreeSet<String>),
    /// Instances go and come.
    Build(Front),
}

impl Work {
    /// Whose request is being planned.
    pub(super) fn asked(&self) -> Option<&Asked> {
        match self {
            Self::Plan(asked) => Some(asked),
            Self::Show(..) | Self::Build(_) => None,
        }
    }
}

/// A change under way.
#[derive(Debug)]
pub(super) struct Moving {
    pub(super) target: Target,
    pub(super) leaving: Ids,
    /// Those that stay and start anew as something else.
    pub(super) renewed: BTreeMap<Id, Hand>,
    /// Those that stay, rest, and are to run.
    pub(super) start: Ids,
    pub(super) asked: Asked,
    pub(super) began: Time,
    pub(super) stage: Stage,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Hiding,
    Draining,
    Building,
}

impl Changes {
    pub(super) fn new(relays: Relays, front: Front) -> Self {
        Self {
            queue: VecDeque::new(),
            relays,
            guests: Vec::new(),
            admitted: 0,
            moving: None,
            front,
            hidden: BTreeSet::new(),
            working: None,
        }
    }

    /// Whoever asked for the change that is under way hears of those that go.
    pub(super) fn tell(&self, id: Option<Id>, progress: &Progress) {
        if let (Some(id), Some(moving)) = (id, &self.moving)
            && moving.leaving.contains(&id)
        {
            let _ = moving.asked.replies.send(Reply::Progress(progress.clone())); // whoever asked may be gone
        }
    }

    /// Whether others see the instance.
    pub(super) fn shows(&self, instance: &str) -> bool {
        !self.hidden.contains(instance)
    }
}

impl Keeper {
    /// Does what is next of the change that is under way, or begins the one that is waiting.
    pub(super) fn advance(&mut self) {
        if self.supervisor.is_stopping() {
            let changes = &mut self.changes;
            let planning = (changes.working).take_if(|work| matches!(work, Work::Plan(_)));
            let planning = planning.and_then(|work| match work {
                Work::Plan(asked) => Some(asked),
                Work::Show(..) | Work::Build(_) => None,
            });
            let moving = changes.moving.take().map(|moving| moving.asked);
            let waiting = std::mem::take(&mut changes.queue);
            for asked in planning.into_iter().chain(moving).chain(waiting) {
                asked.refuse("the lab is being taken down".to_owned(), None);
            }
            return;
        }
        while self.changes.working.is_none() {
            if let Some(moving) = self.changes.moving.take() {
                return self.go_on(moving);
            }
            self.show_what_is_up();
            if self.changes.working.is_some() {
                return;
            }
            let Some(asked) = self.changes.queue.pop_front() else {
                return;
            };
            self.plan(asked);
        }
    }

    pub(super) fn begin(&mut self, moving: Moving) {
        let gone = moving.leaving.iter().filter_map(|id| self.hands.get(id));
        let names: Vec<String> = gone.map(|hand| hand.planned.name.clone()).collect();
        self.changes.hidden.extend(names);
        self.changes.moving = Some(moving);
    }

    fn go_on(&mut self, mut moving: Moving) {
        match moving.stage {
            Stage::Hiding => {
                let front = self.front_of(&self.lab.plan);
                let is_hidden = front == self.changes.front;
                let leaving = moving.leaving.clone();
                if is_hidden {
                    moving.stage = Stage::Draining;
                }
                self.changes.moving = Some(moving);
                if is_hidden {
                    self.take(Event::Remove(leaving, None));
                } else {
                    self.show(front, BTreeSet::new());
                }
            }
            Stage::Draining => {
                let is_empty = moving
                    .leaving
                    .iter()
                    .all(|id| self.supervisor.slot(*id).is_none());
                if is_empty {
                    moving.stage = Stage::Building;
                    self.build(&moving);
                }
                self.changes.moving = Some(moving);
            }
            Stage::Building => self.finish(moving),
        }
    }

    fn finish(&mut self, moving: Moving) {
        let Moving {
            target,
            renewed,
            start,
            asked,
            began,
            leaving,
            ..
        } = moving;
        let leads = |plan: &Plan| (plan.front(|_| true), plan.publish.clone());
        let is_led_otherwise = leads(&target.plan) != leads(&self.lab.plan);
        self.lab.project = target.project;
        self.lab.plan = target.plan;
        self.lab.binaries = target.binaries;
        self.changes.guests = target.guests;
        let mut hands = target.hands;
        let mut about: Ids = renewed.keys().chain(&start).copied().collect();
        let anew: Ids = renewed.keys().copied().collect();
        for (id, hand) in renewed {
            if let Some(old) = self.hands.get_mut(&id) {
                old.become_like(hand);
            }
        }
        let regular = self.lab.plan.instances.iter();
        for planned in regular.filter(|instance| !instance.is_guest()) {
            let Some(service) = self.lab.project.services.get(&planned.service) else {
                continue;
            };
            let unit = instance::unit(service, planned);
            if let Some(hand) = hands.remove(&planned.name) {
                let id = self.supervisor.add(unit);
                self.hands.insert(id, hand);
                about.insert(id);
            } else if let Some((id, hand)) = self
                .hands
                .iter_mut()
                .find(|(_, hand)| hand.planned.name == planned.name)
            {
                hand.planned.clone_from(planned);
                self.supervisor.replace(*id, unit);
            }
        }
        self.open_ports(asked.change.ports.iter().copied().zip(asked.sockets));
        self.lead();
        self.listeners.push(Listener {
            to: asked.replies,
            touched: about.len() + leaving.len() + usize::from(is_led_otherwise),
            goal: match asked.change.wait_ms {
                Some(wait) if !about.is_empty() => Goal::Up {
                    until: self.clock.now() + Time::from_millis(wait),
                },
                _ => Goal::Now,
            },
            about: Some(about),
            one_offs: BTreeSet::new(),
            began,
        });
        // At once: what rests and is about to be started stands as wanted, or failed, between the two.
        self.take_all([Event::Restart(anew, None), Event::Start(start)]);
    }
}
