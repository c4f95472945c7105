//! `start`: what does not run starts again.

use clap::Args;

use super::args::Global;
use super::failure::Failure;
use super::steer::{Waiting, steer};
use crate::lab::protocol::Steer;

/// `start`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Starts what a service depends on too, and that first. A one-shot service that
has completed is started again only when it is named.
`docker compose start` returns at once unless --wait is given; here it waits
unless --no-wait is.

Examples:
  netns-setup start                    everything that was stopped
  netns-setup start --no-wait redis")]
pub(super) struct Start {
    /// How long it waits.
    #[command(flatten)]
    pub waiting: Waiting,
    /// Services, or single instances [default: all]
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

pub(super) fn run(global: &Global, start: &Start) -> Result<u8, Failure> {
    steer(global, Steer::Start, &start.services, start.waiting.ms())
}
