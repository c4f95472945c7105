//! Applies the steps of a plan and holds what they made.

mod describe;
mod worker;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::failure::Failure;
use super::namespace::{NetNamespace, run_on_own_thread};
use crate::plan::{Op, Plan};
use worker::Worker;

/// What was built: every network namespace, held open. They end with the process that holds them.
#[derive(Debug, Default)]
pub struct Network {
    namespaces: BTreeMap<String, NetNamespace>,
    phases: Vec<Phase>,
}

/// How long one kind of step took, in sum.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Phase {
    /// Which kind.
    pub name: &'static str,
    /// How many steps.
    pub steps: usize,
    /// How long.
    pub duration: Duration,
}

/// The step that the kernel refused. Prints as the command that a person would have typed, the reason, and the remedy.
#[derive(Clone, Debug)]
pub struct BuildError {
    /// The equivalent command.
    pub command: String,
    /// Why.
    pub failure: Failure,
}

impl BuildError {
    /// A refusal before the first step, of what `command` would have begun with.
    pub(super) fn of(command: &str, error: &std::io::Error) -> Self {
        Self {
            command: command.to_owned(),
            failure: Failure {
                errno: error.raw_os_error().unwrap_or(0),
                reason: error.raw_os_error().is_none().then(|| error.to_string()),
                step: "build the network".into(),
                remedy: None,
            },
        }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.command, self.failure)
    }
}

impl std::error::Error for BuildError {}

/// Builds the whole network of a plan. To be called in the lab's PID 1, with no other thread that starts processes meanwhile.
///
/// # Errors
/// The first step that was refused. What had been made is freed with the returned error.
pub fn build(plan: &Plan) -> Result<Network, BuildError> {
    let mut network = Network::default();
    network.apply(&plan.ops)?;
    Ok(network)
}

impl Network {
    /// Namespaces that exist already, to take further steps in.
    pub(super) fn holding<const N: usize>(namespaces: [(&str, NetNamespace); N]) -> Self {
        Self {
            namespaces: namespaces
                .into_iter()
                .map(|(name, namespace)| (name.to_owned(), namespace))
                .collect(),
            phases: Vec::new(),
        }
    }

    /// The namespace of that name in the plan.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<&NetNamespace> {
        self.namespaces.get(name)
    }

    /// How long it took, by kind of step, in the order of their first use.
    #[must_use]
    pub fn phases(&self) -> &[Phase] {
        &self.phases
    }

    /// How long all steps took.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.phases.iter().map(|phase| phase.duration).sum()
    }

    /// Takes further steps.
    ///
    /// # Errors
    /// The first step that was refused; those before it stay taken.
    pub fn apply(&mut self, ops: &[Op]) -> Result<(), BuildError> {
        // A thread of its own moves from namespace to namespace and ends: nothing has to find its way back.
        run_on_own_thread(|| {
            let mut worker = Worker::new(self);
            Ok(ops.iter().try_for_each(|op| worker.take(op)))
        })
        .unwrap_or_else(|error| Err(BuildError::of("start a thread", &error)))
    }

    fn book(&mut self, name: &'static str, duration: Duration) {
        if let Some(phase) = self.phases.iter_mut().find(|phase| phase.name == name) {
            phase.steps += 1;
            phase.duration += duration;
            return;
        }
        self.phases.push(Phase {
            name,
            steps: 1,
            duration,
        });
    }
}
