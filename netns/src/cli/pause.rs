//! `pause` and `unpause`: instances halt where they are, and go on.

use clap::Args;

use super::args::Global;
use super::failure::Failure;
use super::steer::steer;
use crate::lab::protocol::Steer;

/// `pause`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Every process of the sandbox gets SIGSTOP: connections stay, nothing answers.
Health checks rest meanwhile, and `exec` is refused. `stop`, `restart` and
`down` let go on what they end.

Examples:
  netns-setup pause redis                what do the others do?
  netns-setup pause product-service-2")]
pub(super) struct Pause {
    /// Services, or single instances [default: all]
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// `unpause`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  netns-setup unpause                    everything that was paused
  netns-setup unpause redis")]
pub(super) struct Unpause {
    /// Services, or single instances [default: all]
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

pub(super) fn pause(global: &Global, pause: &Pause) -> Result<u8, Failure> {
    steer(global, Steer::Pause, &pause.services, None)
}

pub(super) fn unpause(global: &Global, unpause: &Unpause) -> Result<u8, Failure> {
    steer(global, Steer::Unpause, &unpause.services, None)
}
