//! `version`

use clap::{Args, ValueEnum};

use super::failure::Failure;
use super::terminal::out;
use crate::lab::protocol;

/// `version`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  netns-setup version
  netns-setup version --short
  netns-setup version --format json")]
pub(super) struct Version {
    /// Nothing but the number
    #[arg(long)]
    pub short: bool,
    /// How to print it
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        value_enum,
        default_value = "pretty"
    )]
    pub format: Format,
}

/// How the version is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Pretty,
    /// For scripts
    Json,
}

pub(super) fn run(version: &Version) -> Result<u8, Failure> {
    let number = env!("CARGO_PKG_VERSION");
    let text = match version.format {
        Format::Json => serde_json::json!({
            "version": number,
            "control_protocol": protocol::VERSION,
        })
        .to_string(),
        Format::Pretty if version.short => number.to_owned(),
        Format::Pretty => format!("netns-setup version {number}"),
    };
    out(&format!("{text}\n"))?;
    Ok(0)
}
