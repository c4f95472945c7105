//! `doctor`, and the part of it that `up` asks before it touches anything.

use std::io;

use super::args::{Doctor, Global};
use super::failure::{Code, Failure};
use super::project::diagnostics;
use super::terminal::out;
use crate::compose::Project;
use crate::doctor;
use crate::lab::state::StateDir;

pub(super) fn run(_global: &Global, arguments: &Doctor) -> Result<u8, Failure> {
    let mut report = Vec::new();
    let well = doctor::run(arguments.install, arguments.json, &mut report).map_err(|error| {
        let code = match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported => Code::Environment,
            _ => Code::Failed,
        };
        Failure::new(code, format!("error: {error}"))
    })?;
    out(&String::from_utf8_lossy(&report))?;
    Ok(if well { 0 } else { Code::Environment as u8 })
}

/// Refuses what cannot work here.
pub(super) fn preflight(project: &Project, state: &StateDir) -> Result<(), Failure> {
    let found = doctor::preflight(project, &state.volumes());
    if found.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(Code::Environment, diagnostics(&found)))
    }
}
