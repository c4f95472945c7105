//! What a machine's state means for the lab, and the remedy.

use super::check::{Check, State};
use super::machine::Machine;
use super::{asks, docker, kernel, limits, software};

/// Judges `machine`.
#[must_use]
pub fn checks(machine: &Machine) -> Vec<Check> {
    let mut found = kernel::checks(machine);
    found.extend(software::checks(machine));
    found.extend(asks::checks(&machine.asks));
    found.extend(limits::checks(&machine.limits));
    found.extend(machine.docker.iter().flat_map(docker::checks));
    found
}

/// Whether nothing needed is missing.
pub(super) fn well(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.state != State::Missing)
}

/// The packages that bring what is missing.
pub(super) fn packages(checks: &[Check]) -> Vec<&'static str> {
    checks
        .iter()
        .filter(|check| check.state == State::Missing)
        .flat_map(|check| check.packages)
        .copied()
        .collect()
}

#[cfg(test)]
#[path = "checks_tests.rs"]
mod tests;
