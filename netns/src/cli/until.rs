//! `up --until STEP`: the network as far as one step, for a look at what stands then.

use super::failure::{Code, Failure};
use super::summary::invocation;
use crate::columns::paragraph;
use crate::lab::protocol::Status;
use crate::plan::{Held, Plan};

/// Parses the number of a step.
///
/// # Errors
/// What was expected.
pub(super) fn step(text: &str) -> Result<usize, String> {
    let number = text.parse();
    number.map_err(|_| format!("{text:?} is no step's number"))
}

/// The plan as far as it is wanted.
pub(super) fn part_of(plan: Plan, step: usize) -> Result<(Plan, Held), Failure> {
    let of = plan.ops.len();
    plan.held_after(step).ok_or_else(|| {
        Failure::new(
            Code::Usage,
            format!(
                "error: --until {step}: the plan's steps are numbered from 1 to {of}\n = help: `netns-setup config --format plan` shows them"
            ),
        )
    })
}

/// A lab that is held is not up, and one that is up is not held: neither becomes the other.
pub(super) fn differs(name: &str, status: &Status) -> Failure {
    let stands = status.held.as_ref().map_or_else(
        || "is up".to_owned(),
        |held| format!("is held after step {} of {}", held.step, held.of),
    );
    Failure::new(
        Code::Failed,
        format!("error: {name} {stands} already\n = help: end it first: `netns-setup down`"),
    )
}

/// Where a lab is held, and what can be done there.
pub(super) fn shown(held: &Held) -> String {
    let program = invocation();
    let next = match &held.next {
        Some(next) => format!("next would be {}: {next}", held.step + 1),
        None => "next would be the first instance".to_owned(),
    };
    let typed = format!("{program} exec router ip -br addr | config --format plan | down");
    format!(
        "held after step {} of {}: {}\n{next}\n\n{}",
        held.step,
        held.of,
        held.last,
        paragraph("  ", &typed)
    )
}
