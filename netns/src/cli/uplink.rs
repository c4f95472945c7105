//! The uplink of a lab that root runs: whether there is one, and what is said of it.

use std::time::Duration;

use clap::Args;
use clap::builder::FalseyValueParser;

use super::failure::{Code, Failure};
use super::terminal::say;
use crate::columns::wrapped;
use crate::compose::Project;
use crate::kernel::{BuildError, Identity, uplink};
use crate::lab::state::StateDir;
use crate::plan::{self, Direct, Hidden, Plan, Scale, Uplink};

/// How long the uplink of this lab's former life may take to go. Another lab's is not waited for: it has another name.
const REMAINS: Duration = Duration::from_secs(5);

/// Whether root wants one.
#[derive(Debug, Clone, Args)]
pub(super) struct Wanted {
    /// As root: make no way from this host to the instances' own addresses
    #[arg(long, env = "NETNS_NO_UPLINK", hide_env = true, value_parser = FalseyValueParser::new())]
    pub no_uplink: bool,
}

/// The plan with the uplink that there will be: none for an ordinary user, who may change nothing of the host.
pub(super) fn planned(
    wanted: &Wanted,
    project: &Project,
    scale: &Scale,
    state: &StateDir,
) -> Result<Plan, Failure> {
    let uplink = if wanted.no_uplink || Identity::of_caller()? != Identity::Root {
        None
    } else {
        let own = plan::link_name(&project.name, &state.path().to_string_lossy());
        let _ = uplink::is_gone(&own, REMAINS); // if it stays, it is another's, and another name is free
        chosen(project, state, None)?
    };
    plan::plan_with(project, scale, uplink)
        .map_err(|error| Failure::new(Code::BadFile, format!("error: {error}")))
}

/// The uplink that there would be on this machine as it is now, but for that which the lab has, having said what it cannot reach.
pub(super) fn chosen(
    project: &Project,
    state: &StateDir,
    own: Option<&str>,
) -> Result<Option<Uplink>, Failure> {
    let lab = state.path().to_string_lossy();
    let mut host = uplink::host_network()?;
    if let Some(link) = own {
        host = host.without(link);
    }
    let (uplink, hidden) = plan::uplink(project, &lab, &host);
    for tier in &hidden {
        say(&shadowed(tier));
    }
    if uplink.is_none() && hidden.len() < project.networks.len() {
        say(&lacking("every address for it is in use"));
    }
    Ok(uplink)
}

fn shadowed(tier: &Hidden) -> String {
    format!(
        "note: addresses of {} ({}) lead elsewhere from this host: {} has {}; published ports are not concerned",
        tier.tier, tier.subnet, tier.by.by, tier.by.subnet
    )
}

/// That the kernel refused it.
pub(super) fn refused(error: &BuildError) -> String {
    lacking(&error.to_string())
}

fn lacking(why: &str) -> String {
    format!(
        "note: instances do not answer by their own addresses on this host: {why}; published ports do (--no-uplink: do not try)"
    )
}

/// What the host may connect to; nothing when that is nothing.
pub(super) fn reachable(head: &str, direct: &[Direct]) -> String {
    if direct.is_empty() {
        return String::new();
    }
    let addresses: Vec<String> = direct.iter().map(url).collect();
    wrapped(&format!("{head}from this host also: "), &addresses)
}

fn url(direct: &Direct) -> String {
    let (address, port) = (direct.address, direct.port);
    if direct.udp {
        format!("{address}:{port}/udp")
    } else {
        format!("http://{address}:{port}")
    }
}
