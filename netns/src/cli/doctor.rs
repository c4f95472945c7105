//! `doctor`, and the part of it that `up` asks before it touches anything.

use std::io::Write;

use clap::Args;

use super::args::Global;
use super::failure::{Code, Failure};
use super::project::{self, Loaded, diagnostics};
use super::terminal::out;
use crate::compose::Project;
use crate::doctor;
use crate::lab::state::{self, StateDir};

/// `doctor`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  netns-setup doctor                what works here, what does not, and the
                                    line that mends it
  netns-setup doctor --json | jq '.[] | select(.state == \"missing\")'
  sudo netns-setup doctor --install

States: ok; note: worth knowing, `up` works all the same; unknown: it could
not be found out; missing: `up` cannot work.
--json is a list, in the order of the table, of { group, name, state, found,
remedy, packages }: group is kernel, programs, project, limits or docker;
packages, Debian's, only where there are some.

Exit codes: 0 `up` can work; 69 something is missing. With --install only what
can be installed counts, not a port that is taken.")]
pub(super) struct Doctor {
    /// Install what is missing: Debian packages and, where AppArmor keeps programs
    /// from user namespaces, a profile for this one (as root or with sudo -n)
    #[arg(long)]
    pub install: bool,
    /// For scripts
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(global: &Global, options: &Doctor) -> Result<u8, Failure> {
    let loaded = project::load(global);
    let base = global.state_dir.clone().unwrap_or_else(state::default_base);
    let wanted = match &loaded {
        Ok(Loaded { project, state, .. }) => Ok((project, state)),
        Err(failure) => {
            let line = failure.message.lines().next().unwrap_or_default();
            Err(line.trim_start_matches("error: ").to_owned())
        }
    };
    let mut text = Vec::new();
    let is_well = doctor::run(options.install, options.json, &(wanted, &base), &mut text)
        .map_err(|error| Failure::new(Code::Environment, format!("error: {error}")))?;
    text.flush()?;
    out(&String::from_utf8_lossy(&text))?;
    Ok(if is_well { 0 } else { Code::Environment as u8 })
}

/// Refuses what cannot work on this machine.
pub(super) fn preflight(project: &Project, state: &StateDir) -> Result<(), Failure> {
    match doctor::preflight(project, &state.volumes())[..] {
        [] => Ok(()),
        ref found => Err(Failure::new(Code::Environment, diagnostics(found))),
    }
}
