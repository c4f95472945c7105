//! The steps of a change, taken beside the main task: the kernel, files and `nft` may each take their time.

use super::change::{Moving, Work};
use super::disk::unwritten;
use super::files;
use super::keeper::Keeper;
use super::serve::Message;
use super::target::Refusal;
use crate::lab::logs;
use crate::lab::supervise::Event;
use crate::plan::{Guest, change};

impl Keeper {
    /// Takes the steps from the plan that stands to the next one. When one is refused, what was to come goes again.
    pub(super) fn build(&mut self, moving: &Moving) {
        let guests: Vec<String> = [&moving.target.guests, &self.changes.guests]
            .into_iter()
            .flatten()
            .map(|guest| guest.name.clone())
            .collect();
        // Nobody is led to a one-off instance anyway.
        let come = moving
            .target
            .joining
            .iter()
            .filter(|name| !guests.contains(name));
        self.changes.hidden.extend(come.cloned());
        let front = self.front_of(&moving.target.plan);
        let mut standing = self.lab.plan.clone();
        standing.ruleset.clone_from(&self.changes.front.ruleset);
        let mut next = moving.target.plan.clone();
        next.ruleset.clone_from(&front.ruleset);
        let steps = change(&standing, &next);
        let back = change(&next, &standing).down;
        let (network, state, identity) = (
            self.starter.network.clone(),
            self.lab.state.clone(),
            self.starter.identity,
        );
        let (project, hosts) = (moving.target.project.clone(), front.hosts.clone());
        let joining = moving.target.joining.clone();
        self.changes.working = Some(Work::Build(front));
        self.work(move || {
            let files = || {
                files::prepare(&project, &next.instances, &state, identity)?;
                for instance in &joining {
                    logs::turn_over(&state.log(instance), 0)?;
                }
                for guest in guests.iter().filter(|name| steps.leave.contains(name)) {
                    files::forget_anonymous_volumes(&state, guest)?;
                }
                files::write_hosts(&state, &hosts)
            };
            network
                .apply(&steps.down)
                .and_then(|()| network.apply(&steps.up))
                .map_err(|message| (message, None))
                .and_then(|()| files().map_err(|error| unwritten(state.path(), &error)))
                .inspect_err(|_| network.apply_what_can_be(&back))
        });
    }

    pub(super) fn work(&self, steps: impl FnOnce() -> Result<(), Refusal> + Send + 'static) {
        let messages = self.starter.messages.clone();
        tokio::spawn(async move {
            let outcome = tokio::task::spawn_blocking(steps).await;
            let outcome = outcome.unwrap_or_else(|error| Err((error.to_string(), None)));
            let _ = messages.send(Message::Applied(outcome)); // the main task is gone only when the lab ends
        });
    }

    /// The steps have been taken, or one was refused.
    pub(super) fn applied(&mut self, outcome: Result<(), Refusal>) {
        match (self.changes.working.take(), outcome) {
            (Some(Work::Show(front, shown)), outcome) => {
                if let Err((message, _)) = outcome {
                    tracing::error!("cannot show a change to the instances: {message}");
                }
                self.changes.hidden.retain(|name| !shown.contains(name));
                self.changes.front = front;
                self.lead();
            }
            (Some(Work::Build(front)), Ok(())) => self.changes.front = front,
            (Some(Work::Build(front)), Err((message, code))) => {
                self.changes.front = front;
                if let Some(moving) = self.changes.moving.take() {
                    self.give_up(moving, &message, code);
                }
            }
            (planning @ Some(Work::Plan(_)), _) => self.changes.working = planning, // no steps are taken then
            (None, _) => {}
        }
        self.take(Event::Tick);
    }

    /// What was to go has gone, what was to come has not come.
    fn give_up(&mut self, moving: Moving, message: &str, code: Option<u8>) {
        let target = moving.target;
        let joining = target.joining;
        let has_come = |guest: &Guest| !joining.contains(&guest.name);
        self.changes.guests = target.guests.into_iter().filter(has_come).collect();
        self.changes.hidden.retain(|name| !joining.contains(name));
        self.lab.project = target.project;
        self.lab.plan = target.plan;
        self.lab
            .plan
            .instances
            .retain(|instance| !joining.contains(&instance.name));
        moving
            .asked
            .refuse(format!("what was to come has not come: {message}"), code);
    }
}
