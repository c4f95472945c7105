//! `doctor`, and the part of it that `up` asks before it touches anything.

use super::args::{Doctor, Global};
use super::failure::Failure;
use crate::compose::Project;
use crate::lab::state::StateDir;
use crate::plan::Plan;

pub(super) fn run(_global: &Global, _doctor: &Doctor) -> Result<u8, Failure> {
    Ok(0)
}

/// Refuses what cannot work here.
pub(super) fn preflight(
    _project: &Project,
    _plan: &Plan,
    _state: &StateDir,
) -> Result<(), Failure> {
    Ok(())
}
