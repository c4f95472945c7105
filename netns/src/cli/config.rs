//! `config`: the Compose file as understood, the steps it becomes, or the Swarm file made of it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::args::{Global, scale};
use super::failure::{Code, Failure};
use super::project::Loaded;
use super::terminal::out;
use super::{project, ps, uplink};
use crate::compose::{self, Project};
use crate::plan;

/// `config`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  netns-setup config -q             is the file right?
  netns-setup config --services     names alone, one a line
  netns-setup config --format plan  each step as an ip, sysctl or nft command
  netns-setup config --format swarm -o docker-compose-swarm.yml
                                    for `docker stack deploy`

Unlike `docker compose config` it prints what a lab makes of the file, with
defaults filled in; --format yaml and json are --format compose without and
with --json.")]
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
    /// Print the services' names, one a line
    #[arg(long, group = "names", conflicts_with_all = ["json", "format"])]
    pub services: bool,
    /// Print the volumes' names
    #[arg(long, group = "names", conflicts_with_all = ["json", "format"])]
    pub volumes: bool,
    /// Print the networks' names
    #[arg(long, group = "names", conflicts_with_all = ["json", "format"])]
    pub networks: bool,
    /// Print the images
    #[arg(long, group = "names", conflicts_with_all = ["json", "format"])]
    pub images: bool,
    /// Write to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// What `config` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// The services as understood
    #[value(alias = "yaml")]
    Compose,
    /// The steps that build the lab, as `ip`, `sysctl` and `nft` commands
    Plan,
    /// The file for `docker stack deploy`, made of this one and its `x-swarm`
    Swarm,
    /// The services as understood, in JSON
    #[value(hide = true)]
    Json,
}

pub(super) fn run(global: &Global, config: &Config) -> Result<u8, Failure> {
    let text = text(global, config)?;
    match &config.output {
        _ if config.quiet => {}
        None => out(&text)?,
        Some(file) => write(file, &text)?,
    }
    Ok(0)
}

fn text(global: &Global, config: &Config) -> Result<String, Failure> {
    if config.format == Format::Swarm {
        if config.json || !config.scale.is_empty() {
            return Err(Failure::new(
                Code::Usage,
                "error: --format swarm takes neither --json nor --scale\n = help: `docker stack deploy` reads YAML; replicas are said in x-swarm",
            ));
        }
        return project::swarm(global);
    }
    let Loaded { project, state, .. } = project::load(global)?;
    let scale = config.scale.iter().cloned().collect();
    let uplink = if config.uplink && !config.quiet {
        let status = state.is_up().then(|| ps::status(&state).ok()).flatten();
        let own = status.and_then(|status| status.uplink);
        uplink::chosen(&project, &state, own.as_ref().map(|own| own.link.as_str()))?
    } else {
        None
    };
    let plan = plan::plan_with(&project, &scale, uplink)
        .map_err(|error| Failure::new(Code::BadFile, format!("error: {error}")))?;
    if let Some(names) = names(&project, config) {
        return Ok(names.into_iter().map(|name| format!("{name}\n")).collect());
    }
    let text = match (config.format, config.json) {
        (Format::Plan, true) => serde_json::to_string_pretty(&plan)?,
        (Format::Plan, false) => plan.script(),
        (Format::Compose, false) => compose::canonical_yaml(&project),
        (Format::Compose | Format::Json | Format::Swarm, _) => {
            serde_json::to_string_pretty(&compose::canonical(&project))?
        }
    };
    Ok(format!("{}\n", text.trim_end()))
}

/// What one of the options asks for alone.
fn names(project: &Project, config: &Config) -> Option<BTreeSet<String>> {
    if config.services {
        Some(project.services.keys().cloned().collect())
    } else if config.volumes {
        Some(project.volumes.clone())
    } else if config.networks {
        Some(project.networks.keys().cloned().collect())
    } else if config.images {
        let images = project.services.values();
        Some(images.filter_map(|service| service.image.clone()).collect())
    } else {
        None
    }
}

/// Whole or not at all: a file that is half written would be deployed.
fn write(file: &std::path::Path, text: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(
            Code::Failed,
            format!("error: {} cannot be written: {error}", file.display()),
        )
    };
    if std::fs::metadata(file).is_ok_and(|metadata| !metadata.is_file()) {
        return std::fs::write(file, text).map_err(failed); // a pipe or a device stays one
    }
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    std::fs::write(&beside, text)
        .and_then(|()| std::fs::rename(&beside, file))
        .inspect_err(|_| drop(std::fs::remove_file(&beside)))
        .map_err(failed)
}
