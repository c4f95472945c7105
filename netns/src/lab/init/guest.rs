//! One-off instances: `run`. Not supervised, and nobody is led to them; each lasts as long as the connection that asked for it.

use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::change::{Asked, Guests, Work};
use super::hand::Hand;
use super::invocation;
use super::keeper::Keeper;
use super::serve::{Located, Place};
use super::target::no_service;
use crate::lab::protocol::{Exec, InstanceState, Reply, Run};
use crate::lab::supervise::Event;
use crate::plan::{Guest, ROUTER, WORLD};

impl Keeper {
    /// Gives a one-off instance its name, and lets its network be made; the replies tell when it stands.
    pub(super) fn admit(
        &mut self,
        service: &str,
        name: Option<String>,
        replies: UnboundedSender<Reply>,
    ) -> Result<String, String> {
        if !self.lab.project.services.contains_key(service) {
            return Err(no_service(&self.lab.project, service));
        }
        self.changes.admitted += 1;
        let name = name.unwrap_or_else(|| format!("{service}-run-{}", self.changes.admitted));
        let letters = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.starts_with(['-', '.']) || !name.chars().all(letters) {
            return Err(format!(
                "{name:?} cannot be the name of an instance: only letters, digits, `-`, `_` and `.`"
            ));
        }
        if self.is_taken(&name) {
            return Err(format!("{name} is there already, or may yet be"));
        }
        let guest = Guest {
            name: name.clone(),
            service: service.to_owned(),
        };
        self.ask(Guests::Admit(guest), replies);
        Ok(name)
    }

    /// Whether something has that name, is about to have it, or gets it when its service is scaled.
    fn is_taken(&self, name: &str) -> bool {
        let services = &self.lab.project.services;
        let is_numbered = name.rsplit_once('-').is_some_and(|(service, index)| {
            services.contains_key(service) && index.parse::<u32>().is_ok()
        });
        let comes =
            |asked: &Asked| matches!(&asked.guests, Guests::Admit(guest) if guest.name == name);
        let planning = self.changes.working.iter().filter_map(Work::asked);
        let moving = self.changes.moving.iter().map(|moving| &moving.asked);
        is_numbered
            || [ROUTER, WORLD].contains(&name)
            || services.contains_key(name)
            || self.lab.plan.instance(name).is_some()
            || (self.changes.queue.iter())
                .chain(planning)
                .chain(moving)
                .any(comes)
    }

    /// The one-off instance has ended.
    pub(super) fn dismiss(&mut self, name: String) {
        self.departed(&name);
        let (replies, _) = unbounded_channel(); // nobody waits for it
        self.ask(Guests::Dismiss(name), replies);
        self.take(Event::Tick);
    }

    fn ask(&mut self, guests: Guests, replies: UnboundedSender<Reply>) {
        self.changes.queue.push_back(Asked {
            change: Arc::default(),
            guests,
            sockets: Vec::new(),
            replies,
        });
        self.advance();
    }

    /// How the one-off instance is run: as its service, but for what was asked for.
    pub(super) fn host(&mut self, name: &str, run: Run) -> Result<Located, String> {
        let service = self.lab.project.services.get(&run.service);
        let (Some(service), Some(planned)) = (service, self.lab.plan.instance(name)) else {
            return Err(format!("{name} has gone"));
        };
        let mut service = service.clone();
        invocation::override_program(&mut service, run.entrypoint, run.argv);
        service.environment.extend(run.env);
        if run.cwd.is_some() {
            service.working_dir = run.cwd;
        }
        let machine = self.lab.machine();
        let mut hand = Hand::new(&service, planned, &machine);
        let mut spec = (*hand.spec).clone();
        spec.terminal = run.terminal;
        let network = self.starter.network.namespace(name);
        let network = network.map_err(|error| error.to_string())?;
        let allotment = hand.allotment.clone();
        hand.shown = InstanceState::Starting;
        self.one_offs.insert(name.to_owned(), hand);
        Ok(Located {
            spec: invocation::program(&spec, Exec::default()),
            place: Place::Own(network, Box::new(spec), allotment),
            detach: false,
        })
    }
}
