//! `wait`: until instances have ended.

use clap::Args;

use super::args::Global;
use super::down::{self, Down};
use super::failure::Failure;
use super::steer::ask;
use super::terminal::out;
use super::{project, reader};
use crate::lab::protocol::{Request, Steer};

/// `wait`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Prints how each ended, and ends with the exit code of the last of them. One
that is started again after it ended has ended too; one that does not run is
not waited for.

Examples:
  netns-setup wait secrets
  netns-setup wait --down-project load-test    then `down`")]
pub(super) struct Wait {
    /// Take everything down as soon as the first of them has ended
    #[arg(long)]
    pub down_project: bool,
    /// Services, or single instances
    #[arg(required = true, value_name = "SERVICE")]
    pub services: Vec<String>,
}

pub(super) fn run(global: &Global, wait: &Wait) -> Result<u8, Failure> {
    let state = project::find_up(global)?;
    let request = Request::Steer {
        steer: Steer::Wait,
        services: wait.services.clone(),
        wait_ms: None,
    };
    // Whether or not somebody reads of it, everything is to be taken down.
    if !wait.down_project {
        reader::wait_for_end()?;
    }
    let mut last = 0;
    let mut said = Ok(());
    ask(&state, request, &[], &[], &mut |instance, code| {
        last = code;
        said = out(&format!("{instance} exited with status code {code}\n"));
        wait.down_project
    })?;
    said?;
    if wait.down_project {
        down::run(global, &Down::default())?;
    }
    Ok(u8::try_from(last).unwrap_or(1))
}
