//! `stop`: instances rest until they are started again.

use std::time::Duration;

use clap::Args;

use super::args::Global;
use super::failure::Failure;
use super::steer::{grace, steer};
use crate::lab::clock::millis;
use crate::lab::protocol::Steer;

/// `stop`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
What depends on a service goes on running when that is stopped alone; of
several, dependents stop first. Whatever the restart policy says, what was
stopped stays so until `start`, `restart` or `up`.

Examples:
  netns-setup stop                       everything; namespaces stay
  netns-setup stop -t 2 order-service    killed after 2 seconds")]
pub(super) struct Stop {
    /// Seconds before what has not stopped is killed [default: the service's stop_grace_period]
    #[arg(short, long, value_name = "SECONDS", value_parser = grace)]
    pub timeout: Option<Duration>,
    /// Services, or single instances [default: all]
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

pub(super) fn run(global: &Global, stop: &Stop) -> Result<u8, Failure> {
    let grace_ms = stop.timeout.map(millis);
    steer(global, Steer::Stop { grace_ms }, &stop.services, None)
}
