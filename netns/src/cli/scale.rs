//! `scale`: more or fewer instances of a service.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;

use super::args::{Global, scale as number};
use super::failure::Failure;
use super::steer::Waiting;
use super::terminal::say;
use super::{change, project, ps, turn};

/// `scale`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
What comes is led to, by names and published ports, once it is healthy; what
goes is led to no more before it is told to stop, and has its stop_grace_period
to finish. Nobody else moves or loses a connection. Only numbers change: `up`
applies changes of the Compose file. Numbers last until `up` or `down`.

Examples:
  netns-setup scale product-service=3
  netns-setup scale product-service=1 order-service=2
  netns-setup scale order-service=0")]
pub(super) struct Scale {
    /// Leave the services that they depend on stopped, if they are
    #[arg(long)]
    pub no_deps: bool,
    /// How long it waits.
    #[command(flatten)]
    pub waiting: Waiting,
    /// Instances of a service
    #[arg(required = true, value_name = "SERVICE=N", value_parser = number)]
    pub scale: Vec<(String, u32)>,
}

pub(super) fn run(global: &Global, options: &Scale) -> Result<u8, Failure> {
    let loaded = project::load_with(global, options.scale.iter().map(|(name, _)| name))?;
    if !loaded.state.is_up() {
        return Err(project::not_up(&loaded.state));
    }
    let _turn = turn::take(&loaded.state)?;
    let status = ps::status(&loaded.state)?;
    let scale: BTreeMap<String, u32> = options.scale.iter().cloned().collect();
    let names: Vec<String> = scale.keys().cloned().collect();
    let with = change::selected(&loaded.project, &names, options.no_deps)?;
    // What is scaled to nothing needs nobody.
    let services: BTreeSet<String> = if scale.values().all(|count| *count == 0) {
        BTreeSet::new()
    } else {
        with
    };
    let ended = change::scale(&loaded, &status, scale, services, options.waiting.ms())?;
    if ended.touched == 0 {
        say("nothing was changed");
    }
    Ok(ended.code)
}
