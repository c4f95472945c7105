//! `doctor`, and the part of it that `up` asks before it touches anything.

use std::io::Write;

use clap::Args;

use super::failure::{Code, Failure};
use super::project::diagnostics;
use super::terminal::out;
use crate::compose::Project;
use crate::doctor;
use crate::lab::state::StateDir;
/// `doctor`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  netns-setup doctor
  netns-setup doctor --install
  netns-setup doctor --json")]
pub(super) struct Doctor {
    /// Install what is missing (Debian packages; as root or with sudo -n)
    #[arg(long)]
    pub install: bool,
    /// For scripts
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(options: &Doctor) -> Result<u8, Failure> {
    let mut text = Vec::new();
    let is_well = doctor::run(options.install, options.json, &mut text)
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
