//! One after the other: who brings a lab up, or changes it, waits for another who is about it, and goes on from what that has made.

use super::failure::Failure;
use super::parting::Parting;
use super::terminal::say;
use crate::lab::state::StateDir;
use crate::lab::turn::Turn;

/// Waits for the turn. To be called before the lab is looked at, and kept until it is up, or changed.
///
/// `None`: the folder cannot be had. Why, and what to do, is said by what comes next, which needs more of it.
pub(super) fn take(state: &StateDir) -> Result<Option<Turn>, Failure> {
    match state.try_turn() {
        Err(_) => return Ok(None),
        Ok(Some(turn)) => return Ok(Some(turn)),
        Ok(None) => {}
    }
    let name = state.name();
    let _parting = Parting::with(format!(
        "not waited for any more: {name} goes on being brought up or changed from elsewhere"
    ))?;
    say(&format!(
        "{name} is being brought up or changed from elsewhere; waiting"
    ));
    Ok(Some(state.wait_for_turn()?))
}
