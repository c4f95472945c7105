//! A lab's groups: named, made, joined, read.

use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::files::files;
use super::ground::{Ground, Site};
use super::hierarchy::{Controller, Version};
use super::removal::{LEAF, PREFIX, gone};
use super::usage::Usage;
use crate::compose::Limits;
use crate::kernel::failure::{Failure, Step};

/// The groups of one lab. Names only, until [`LabGroups::create`].
#[derive(Clone, Debug)]
pub struct LabGroups {
    sites: Vec<Site>,
    name: String,
}

/// The group of one instance: one folder in each hierarchy.
#[derive(Clone, Debug)]
pub struct Group {
    sites: Vec<Site>,
    lab: String,
    instance: String,
}

/// What a process writes itself to in order to be in a group. Empty: it stays where it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership(Vec<PathBuf>);

impl LabGroups {
    /// Names the groups of the lab `project` whose state is kept in `state`, an existing folder.
    ///
    /// # Errors
    /// When the folder cannot be looked at.
    pub fn new(ground: &Ground, project: &str, state: &Path) -> io::Result<Self> {
        Ok(Self {
            sites: ground.sites.clone(),
            name: format!("{}{}", Self::prefix(project, state)?, std::process::id()),
        })
    }

    /// What the groups of every life of a lab are named by, and nobody else's: it holds the state folder's own number on this machine.
    /// The launcher's number follows, so that what is left of an earlier life is never taken for this one.
    ///
    /// # Errors
    /// When the folder cannot be looked at.
    pub fn prefix(project: &str, state: &Path) -> io::Result<String> {
        let folder = fs::metadata(state)?;
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(folder.dev());
        hasher.write_u64(folder.ino());
        Ok(format!(
            "{PREFIX}{project}-{:08x}-",
            hasher.finish() & 0xffff_ffff
        ))
    }

    /// Every folder that is to be removed in the end, in that order.
    #[must_use]
    pub fn folders(&self) -> Vec<PathBuf> {
        let groups = self.sites.iter().map(|site| site.parent.join(&self.name));
        groups
            .chain(
                self.sites
                    .iter()
                    .filter(|site| site.leave)
                    .map(|site| self.leaf(site)),
            )
            .collect()
    }

    fn leaf(&self, site: &Site) -> PathBuf {
        site.parent.join(format!("{}{LEAF}", self.name))
    }

    /// Moves the calling process out of a group that is to be divided, into a leaf of it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn leave_for_leaf(&self) -> Result<(), Failure> {
        for site in self.sites.iter().filter(|site| site.leave) {
            let leaf = self.leaf(site);
            make(&leaf)?;
            Membership(vec![leaf.join("cgroup.procs")]).join()?;
        }
        Ok(())
    }

    /// Makes the lab's groups; those of the instances come with their first start.
    ///
    /// # Errors
    /// When the kernel refuses; what was made is removed again.
    pub fn create(&self) -> Result<(), Failure> {
        let made = self.sites.iter().try_for_each(|site| {
            let folder = site.parent.join(&self.name);
            hand_on(site, &site.parent)?;
            make(&folder)?;
            hand_on(site, &folder)
        });
        made.inspect_err(|_| {
            for site in &self.sites {
                let _ = fs::remove_dir(site.parent.join(&self.name)); // it may not have come to be
            }
        })
    }

    /// Those of `limits` that a controller is there for.
    #[must_use]
    pub fn enforced(&self, limits: &Limits) -> Limits {
        let has = |controller| {
            self.sites
                .iter()
                .any(|site| site.controllers.contains(&controller))
        };
        Limits {
            cpus: limits.cpus.filter(|_| has(Controller::Cpu)),
            memory: limits.memory.filter(|_| has(Controller::Memory)),
            pids: limits.pids.filter(|_| has(Controller::Pids)),
        }
    }

    /// The group of an instance.
    #[must_use]
    pub fn instance(&self, name: &str) -> Group {
        Group {
            sites: self.sites.clone(),
            lab: self.name.clone(),
            instance: name.to_owned(),
        }
    }
}

/// Lets the children of `folder` have the site's controllers; in v1 they have them anyway.
fn hand_on(site: &Site, folder: &Path) -> Result<(), Failure> {
    if site.version == Version::V1 {
        return Ok(());
    }
    let file = folder.join("cgroup.subtree_control");
    let enabled = fs::read_to_string(&file).unwrap_or_default();
    for controller in &site.controllers {
        if !enabled
            .split_whitespace()
            .any(|name| name == controller.name())
        {
            write(&file, &format!("+{}", controller.name()))?;
        }
    }
    Ok(())
}

impl Group {
    fn folders(&self) -> impl Iterator<Item = (&Site, PathBuf)> {
        self.sites.iter().map(|site| {
            let folder = site.parent.join(&self.lab).join(&self.instance);
            (site, folder)
        })
    }

    /// Makes the group if it is not there, and sets its limits.
    ///
    /// # Errors
    /// The file that the kernel refused.
    pub fn create(&self, limits: &Limits) -> Result<(), Failure> {
        for (site, folder) in self.folders() {
            make(&folder)?;
            let settings: Vec<_> = files(limits, site.version)
                .into_iter()
                .filter(|setting| site.controllers.contains(&setting.controller))
                .filter(|setting| !setting.optional || folder.join(setting.file).exists())
                .collect();
            // Some values hold others back (v1: memory may not exceed memory with swap): what is refused is tried again after the rest.
            let refused: Vec<_> = settings
                .iter()
                .filter(|setting| write(&folder.join(setting.file), &setting.value).is_err())
                .collect();
            for setting in refused {
                write(&folder.join(setting.file), &setting.value)?;
            }
        }
        Ok(())
    }

    /// What puts a process into the group.
    #[must_use]
    pub fn membership(&self) -> Membership {
        Membership(
            self.folders()
                .map(|(_, folder)| folder.join("cgroup.procs"))
                .collect(),
        )
    }

    /// What it uses and has used.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for (site, folder) in self.folders() {
            for controller in &site.controllers {
                usage.add(site.version, *controller, &folder);
            }
        }
        usage
    }

    /// Removes the group of an instance that is no more.
    ///
    /// # Errors
    /// When processes are still in it.
    pub fn remove(&self) -> io::Result<()> {
        self.folders()
            .try_for_each(|(_, folder)| gone(fs::remove_dir(folder)))
    }
}

impl Membership {
    /// Opens the group's doors, for a process that will not see them any more when it goes in.
    ///
    /// # Errors
    /// When the group is gone or may not be joined.
    pub(in crate::kernel) fn open(&self) -> Result<Doors, Failure> {
        self.0
            .iter()
            .map(|file| {
                let open = fs::OpenOptions::new().write(true).open(file);
                Ok((
                    file.clone(),
                    open.step(|| format!("open {}", file.display()))?,
                ))
            })
            .collect::<Result<_, _>>()
            .map(Doors)
    }

    /// Puts the calling process, which must have one thread, into the group.
    ///
    /// # Errors
    /// As [`Membership::open`].
    pub(in crate::kernel) fn join(&self) -> Result<(), Failure> {
        self.open()?.enter()
    }
}

/// A group's `cgroup.procs`, open.
#[derive(Debug)]
pub(in crate::kernel) struct Doors(Vec<(PathBuf, fs::File)>);

impl Doors {
    /// Puts the calling process into the group.
    pub(in crate::kernel) fn enter(self) -> Result<(), Failure> {
        self.0.into_iter().try_for_each(|(path, mut file)| {
            // 0 is whoever writes (cgroup-v1/cgroups.rst, 2.2; cgroup-v2.rst, "cgroup.procs").
            io::Write::write_all(&mut file, b"0").step(|| format!("join {}", path.display()))
        })
    }
}

fn make(folder: &Path) -> Result<(), Failure> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome.step(|| format!("make the control group {}", folder.display())),
    }
}

fn write(file: &Path, value: &str) -> Result<(), Failure> {
    // Opened without making it: a file that a controller does not have must not come to be anywhere.
    fs::OpenOptions::new()
        .write(true)
        .open(file)
        .and_then(|mut file| io::Write::write_all(&mut file, value.as_bytes()))
        .step(|| format!("write {value} to {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lab_is_named_by_its_project_and_its_folder() {
        let ground = Ground::at(Version::V2, &[Controller::Pids], Path::new("/c"), true);
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let name = |state: &Path| {
            let groups = LabGroups::new(&ground, "shop", state).unwrap();
            groups.folders()
        };
        let [group, leaf] = &name(one.path())[..] else {
            panic!("a group and a leaf");
        };
        assert!(group.starts_with("/c"));
        assert_eq!(
            leaf.display().to_string(),
            format!("{}{LEAF}", group.display())
        );
        assert!(group.to_string_lossy().contains("netns-setup-shop-"));
        assert_eq!(name(one.path()), name(one.path()));
        assert_ne!(name(one.path()), name(two.path()));
    }
}
