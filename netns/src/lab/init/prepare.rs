//! From what was asked for to what is to be done: everything is decided, and refused, here, before anything is touched.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::change::{Asked, Guests, Moving, Stage};
use super::hand::Hand;
use super::instance;
use super::keeper::Keeper;
use crate::compose::{self, Attachment, Project, Source};
use crate::lab::build::Binaries;
use crate::lab::protocol::{Change, FileNow, Recreate};
use crate::lab::supervise::{Id, Ids, Wanted};
use crate::plan::{Guest, Plan, Scale, change, replan};

/// The exit code for a file, or a scale, that is wrong.
const BAD_FILE: u8 = 64;

/// What a request comes to: a project, its plan, and the binaries.
type Target = (Project, Plan, Binaries);

/// A request that cannot be met, what is said, and the exit code.
pub(super) type Refusal = (Asked, String, Option<u8>);

impl Keeper {
    /// What is to be done, or what is said instead.
    pub(super) fn prepare(&self, asked: Asked) -> Result<Box<Moving>, Box<Refusal>> {
        let mut guests = self.changes.guests.clone();
        match &asked.guests {
            Guests::Stay => {}
            Guests::Admit(guest) => guests.push(guest.clone()),
            Guests::Dismiss(name) => guests.retain(|guest| guest.name != *name),
        }
        if asked.sockets.len() != asked.change.ports.len() {
            let message = format!(
                "{} sockets came for {} ports; publish fewer at once",
                asked.sockets.len(),
                asked.change.ports.len()
            );
            return Err(Box::new((asked, message, None)));
        }
        let (project, plan, binaries) = match self.target(&asked.change, &guests) {
            Ok(target) => target,
            Err((message, code)) => return Err(Box::new((asked, message, code))),
        };
        let steps = change(&self.lab.plan, &plan);
        let goes = |hand: &Hand| steps.leave.contains(&hand.planned.name);
        let leaving: Ids = self.ids_of(goes).collect();
        let renewed = self.renewed(&asked.change, &project, &plan, &binaries, &leaving);
        let start = self
            .ids_of(|hand| asked.change.services.contains(&hand.planned.service))
            .filter(|id| !leaving.contains(id) && !renewed.contains_key(id))
            .filter(|id| {
                self.supervisor.slot(*id).is_some_and(|slot| {
                    slot.wanted == Wanted::Held || slot.has_ended() && !slot.has_completed()
                })
            })
            .collect();
        Ok(Box::new(Moving {
            project,
            plan,
            binaries,
            guests,
            leaving,
            joining: steps.join,
            renewed,
            start,
            asked,
            began: self.clock.now(),
            stage: Stage::Hiding,
        }))
    }

    fn ids_of(&self, which: impl Fn(&Hand) -> bool) -> impl Iterator<Item = Id> {
        self.hands
            .iter()
            .filter(move |(_, hand)| which(hand))
            .map(|(id, _)| *id)
    }

    fn target(&self, change: &Change, guests: &[Guest]) -> Result<Target, (String, Option<u8>)> {
        let bad = |message: String| (message, Some(BAD_FILE));
        if self.lab.held.is_some() {
            let message = "the lab is held after a step of its network; `netns-setup down` first";
            return Err((message.to_owned(), None));
        }
        let (project, binaries) = match &change.file {
            Some(file) => {
                let project = read(file).map_err(bad)?;
                let mut binaries = self.lab.binaries.clone();
                binaries.extend(file.binaries.clone());
                (self.with_the_others(project, change), binaries)
            }
            None => (self.lab.project.clone(), self.lab.binaries.clone()),
        };
        let named = change.scale.keys().chain(&change.services);
        if let Some(unknown) = named
            .into_iter()
            .find(|name| !project.services.contains_key(*name))
        {
            return Err((self.no_service(unknown), None));
        }
        let count = |name: &str| {
            let instances = self.lab.plan.instances.iter();
            let own = instances.filter(|one| one.service == name && !one.is_guest());
            u32::try_from(own.count()).unwrap_or(u32::MAX)
        };
        let scale: Scale = project
            .services
            .iter()
            .map(|(name, service)| {
                let known = self.lab.project.services.contains_key(name);
                let asked = change.scale.get(name).copied();
                let default = match (known, change.services.contains(name)) {
                    (true, _) => count(name),
                    (false, true) => service.replicas,
                    (false, false) => 0,
                };
                (name.clone(), asked.unwrap_or(default))
            })
            .collect();
        let plan = replan(&project, &scale, guests, &self.lab.plan)
            .map_err(|error| bad(error.to_string()))?;
        let missing = plan.publish.iter().find(|port| {
            !self.changes.relays.contains_key(&port.on()) && !change.ports.contains(&port.on())
        });
        match missing {
            Some(port) => Err((
                format!(
                    "port {} of the host came without its socket; use the netns-setup that started this lab",
                    port.host_port
                ),
                None,
            )),
            None => Ok((project, plan, binaries)),
        }
    }

    /// The file as it is now, but for services that were not asked for: they stay as they are.
    fn with_the_others(&self, mut project: Project, change: &Change) -> Project {
        for (name, service) in &self.lab.project.services {
            if change.services.contains(name) || !project.services.contains_key(name) {
                continue;
            }
            if let Attachment::Tier { tier, .. } = &service.attachment
                && let Some(network) = self.lab.project.networks.get(tier)
            {
                project
                    .networks
                    .entry(tier.clone())
                    .or_insert_with(|| network.clone());
            }
            project.services.insert(name.clone(), service.clone());
        }
        project
    }

    /// Those of the instances that stay which are to be started anew, as what they will be.
    fn renewed(
        &self,
        change: &Change,
        project: &Project,
        plan: &Plan,
        binaries: &Binaries,
        leaving: &Ids,
    ) -> BTreeMap<Id, Hand> {
        let machine = self.lab.machine(binaries);
        let mut renewed = BTreeMap::new();
        for (id, hand) in &self.hands {
            let named = change.services.contains(&hand.planned.service);
            if leaving.contains(id) || !named || change.recreate == Recreate::None {
                continue;
            }
            let (Some(service), Some(planned), Some(slot)) = (
                project.services.get(&hand.planned.service),
                plan.instance(&hand.planned.name),
                self.supervisor.slot(*id),
            ) else {
                continue;
            };
            let next = Hand::new(service, planned, &machine);
            let unit = instance::unit(service, planned);
            let same = hand.is_made_like(&next)
                && (unit.restart, unit.probe, unit.stop_grace)
                    == (slot.unit.restart, slot.unit.probe, slot.unit.stop_grace);
            if change.recreate == Recreate::All || !same {
                renewed.insert(*id, next);
            }
        }
        renewed
    }
}

/// Reads the file as the one who sent it has.
fn read(file: &FileNow) -> Result<Project, String> {
    let source = |(path, text): &(PathBuf, String)| Source {
        path: path.clone(),
        text: text.clone(),
    };
    let sources = file.sources.iter().map(source).collect();
    compose::read(sources, &file.dir, &file.environment).map_err(|found| {
        let said: Vec<String> = found.iter().map(ToString::to_string).collect();
        said.join("\n\n")
    })
}
