//! `restart`: instances stop and start again, as they are.

use std::time::Duration;

use clap::Args;

use super::args::Global;
use super::failure::Failure;
use super::steer::{Waiting, grace, steer};
use crate::lab::clock::millis;
use crate::lab::protocol::Steer;

/// `restart`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Dependents stop first and start last. Changes of the Compose file are not
looked at: `up` applies them. A one-shot service that has completed is run
again only when it is named. Waits until all are healthy again, where
`docker compose restart` does not; --no-wait returns at once.

Examples:
  netns-setup restart order-service
  netns-setup restart -t 1 redis product-service-2")]
pub(super) struct Restart {
    /// Seconds before what has not stopped is killed [default: the service's stop_grace_period]
    #[arg(short, long, value_name = "SECONDS", value_parser = grace)]
    pub timeout: Option<Duration>,
    /// Leave those alone that depend on it with `restart: true`
    #[arg(long)]
    pub no_deps: bool,
    /// How long it waits.
    #[command(flatten)]
    pub waiting: Waiting,
    /// Services, or single instances [default: all]
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

pub(super) fn run(global: &Global, restart: &Restart) -> Result<u8, Failure> {
    let verb = Steer::Restart {
        grace_ms: restart.timeout.map(millis),
        no_deps: restart.no_deps,
    };
    steer(global, verb, &restart.services, restart.waiting.ms())
}
