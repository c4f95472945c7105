//! `config`: the Compose file as understood, or the steps it becomes.

use clap::{Args, ValueEnum};

use super::args::{Global, scale};
use super::failure::{Code, Failure};
use super::terminal::out;
use super::{project, uplink};
use crate::{compose, plan};

/// `config`
#[derive(Debug, Clone, Args)]
pub(super) struct Config {
    /// What to print
    #[arg(long, value_enum, default_value_t = Format::Compose)]
    pub format: Format,
    /// For scripts
    #[arg(long)]
    pub json: bool,
    /// With --format plan: instances of a service; may be given again
    #[arg(long, value_name = "SERVICE=N", value_parser = scale)]
    pub scale: Vec<(String, u32)>,
    /// With --format plan: also the steps by which root's `up` would join this host
    /// to the lab, as the host stands now
    #[arg(long)]
    pub uplink: bool,
    /// Print nothing: only check
    #[arg(short, long)]
    pub quiet: bool,
}

/// What `config` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// The services as understood
    Compose,
    /// The steps that build the lab, as `ip`, `sysctl` and `nft` commands
    Plan,
}

pub(super) fn run(global: &Global, config: &Config) -> Result<u8, Failure> {
    let loaded = project::load(global)?;
    let scale = config.scale.iter().cloned().collect();
    let uplink = if config.uplink && !config.quiet {
        uplink::chosen(&loaded.project, &loaded.state)?
    } else {
        None
    };
    let plan = plan::plan_with(&loaded.project, &scale, uplink)
        .map_err(|error| Failure::new(Code::BadFile, format!("error: {error}")))?;
    if config.quiet {
        return Ok(0);
    }
    let text = match (config.format, config.json) {
        (Format::Compose, false) => compose::canonical_yaml(&loaded.project)
            .trim_end()
            .to_owned(),
        (Format::Compose, true) => {
            serde_json::to_string_pretty(&compose::canonical(&loaded.project))?
        }
        (Format::Plan, true) => serde_json::to_string_pretty(&plan)?,
        (Format::Plan, false) => plan.script().trim_end().to_owned(),
    };
    out(&format!("{text}\n"))?;
    Ok(0)
}
