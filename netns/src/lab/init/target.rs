//! From what was asked for to what the lab is to be: everything is decided, and refused, here, before anything is touched. Not for the
//! main task: a large file is read and planned, and the machine's disks are asked, in their own time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::hand::Hand;
use super::machine::Machine;
use crate::columns::choice;
use crate::compose::{self, Attachment, Flow, Peer, Policy, Project, Source};
use crate::kernel::cgroup::LabGroups;
use crate::lab::build::Binaries;
use crate::lab::protocol::{Change, FileNow, Recreate};
use crate::lab::state::StateDir;
use crate::plan::{Guest, On, Plan, Scale, replan};

/// The exit code for a file, or a scale, that is wrong.
const BAD_FILE: u8 = 64;

/// What is said instead, and the exit code.
pub(super) type Refusal = (String, Option<u8>);

/// The lab as it stands, as far as what it is to be depends on that. It stays so until the change is made: they are made one by one.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) project: Project,
    pub(super) plan: Plan,
    pub(super) binaries: Binaries,
    /// The published ports that are listened on.
    pub(super) published: BTreeSet<On>,
    pub(super) state: StateDir,
    pub(super) groups: Option<LabGroups>,
}

/// What it is to be.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) project: Project,
    pub(super) plan: Plan,
    pub(super) binaries: Binaries,
    pub(super) guests: Vec<Guest>,
    /// Names of those that go.
    pub(super) leaving: Vec<String>,
    /// Names of those that come.
    pub(super) joining: Vec<String>,
    /// Those that come, and those that stay and may have to start anew, as they will be.
    pub(super) hands: BTreeMap<String, Hand>,
}

impl Standing {
    /// What the lab is to be, with these one-off instances.
    pub(super) fn target(self, change: &Change, guests: Vec<Guest>) -> Result<Target, Refusal> {
        let (project, binaries) = self.described(change)?;
        let scale = self.scale(change, &project);
        let plan = replan(&project, &scale, &guests, &self.plan)
            .map_err(|error| bad(error.to_string()))?;
        let comes_unheard =
            |port: &On| !self.published.contains(port) && !change.ports.contains(port);
        if let Some(port) = plan.publish.iter().find(|port| comes_unheard(&port.on())) {
            let message = format!(
                "port {} of the host came without its socket; use the netns-setup that started this lab",
                port.host_port
            );
            return Err((message, None));
        }
        let steps = crate::plan::change(&self.plan, &plan);
        let machine = Machine::new(&self.state, &binaries, self.groups.as_ref());
        let is_concerned = |service: &String| {
            change.recreate != Recreate::None && change.services.contains(service)
        };
        let hands = (plan.instances.iter())
            .filter(|planned| steps.join.contains(&planned.name) || is_concerned(&planned.service))
            .filter_map(|planned| {
                let service = project.services.get(&planned.service)?;
                Some((planned.name.clone(), Hand::new(service, planned, &machine)))
            })
            .collect();
        Ok(Target {
            hands,
            project,
            plan,
            binaries,
            guests,
            leaving: steps.leave,
            joining: steps.join,
        })
    }

    /// What the file says by now.
    fn described(&self, change: &Change) -> Result<(Project, Binaries), Refusal> {
        let (project, binaries) = match &change.file {
            Some(file) => {
                let project = read(file).map_err(bad)?;
                let mut binaries = self.binaries.clone();
                binaries.extend(file.binaries.clone());
                (self.with_the_others(project, change), binaries)
            }
            None => (self.project.clone(), self.binaries.clone()),
        };
        let mut named = change.scale.keys().chain(&change.services);
        match named.find(|name| !project.services.contains_key(*name)) {
            Some(unknown) => Err((no_service(&self.project, unknown), None)),
            None => Ok((project, binaries)),
        }
    }

    /// The file as it is now, but for services that were not asked for, or whose profiles are off by now: they stay as they are.
    fn with_the_others(&self, mut project: Project, change: &Change) -> Project {
        if let (Policy::Flows(now), Policy::Flows(before)) =
            (&mut project.policy, &self.project.policy)
        {
            let off = &project.off;
            let stays = |flow: &&Flow| {
                off.contains_key(&flow.to)
                    || matches!(&flow.from, Peer::Service(name) if off.contains_key(name))
            };
            now.extend(before.iter().filter(stays).cloned());
        }
        for (name, service) in &self.project.services {
            let is_there = project.services.contains_key(name) || project.off.contains_key(name);
            if change.services.contains(name) || !is_there {
                continue;
            }
            if let Attachment::Tier { tier, .. } = &service.attachment
                && let Some(network) = self.project.networks.get(tier)
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

    fn scale(&self, change: &Change, project: &Project) -> Scale {
        let count = |name: &str| {
            let instances = self.plan.instances.iter();
            let own = instances.filter(|one| one.service == name && !one.is_guest());
            u32::try_from(own.count()).unwrap_or(u32::MAX)
        };
        let services = project.services.iter();
        let scale = services.map(|(name, service)| {
            let known = self.project.services.contains_key(name);
            let asked = change.scale.get(name).copied();
            let default = match (known, change.services.contains(name)) {
                (true, _) => count(name),
                (false, true) => service.replicas,
                (false, false) => 0,
            };
            (name.clone(), asked.unwrap_or(default))
        });
        scale.collect()
    }
}

fn bad(message: String) -> Refusal {
    (message, Some(BAD_FILE))
}

pub(super) fn no_service(project: &Project, name: &str) -> String {
    let services = choice("the services are", project.services.keys());
    format!("no service or instance is named {name}{services}")
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
