//! Where things are on this machine that instances are shown.

use std::path::{Path, PathBuf};

use super::{Lab, official};
use crate::kernel::cgroup::LabGroups;
use crate::lab::SANDBOX_PATH;
use crate::lab::build::Binaries;
use crate::lab::state::StateDir;

/// Where things are on this machine.
#[derive(Debug)]
pub(super) struct Machine<'a> {
    /// The project's state folder.
    pub state: &'a StateDir,
    /// The built services.
    pub binaries: &'a Binaries,
    /// Programs of Redis by their other names.
    pub redis_names: Vec<(&'static str, PathBuf)>,
    /// PostgreSQL's programs, in Debian's folder of the newest version.
    pub postgres_programs: Option<PathBuf>,
    /// The lab's control groups, if it has any.
    pub groups: Option<&'a LabGroups>,
}

impl<'a> Machine<'a> {
    /// Looks where things are.
    pub(super) fn new(
        state: &'a StateDir,
        binaries: &'a Binaries,
        groups: Option<&'a LabGroups>,
    ) -> Self {
        Self {
            state,
            binaries,
            redis_names: official::redis_names(SANDBOX_PATH),
            postgres_programs: postgres_programs("/usr/lib/postgresql".as_ref()),
            groups,
        }
    }
}

impl Lab {
    /// Where things are for its instances.
    pub(super) fn machine(&self) -> Machine<'_> {
        Machine::new(&self.state, &self.binaries, self.limiting.groups.as_ref())
    }
}

/// PostgreSQL's programs of the newest version in `folder` (`/usr/lib/postgresql`, where Debian has one folder a version).
fn postgres_programs(folder: &Path) -> Option<PathBuf> {
    std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, programs)| programs.join("postgres").exists())
        .max()
        .map(|(_, programs)| programs)
}
