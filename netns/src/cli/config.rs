//! `config`: the Compose file as understood, or the steps it becomes.

use super::args::{Config, Format, Global};
use super::failure::{Code, Failure};
use super::project;
use super::terminal::out;
use crate::{compose, plan};

pub(super) fn run(global: &Global, config: &Config) -> Result<u8, Failure> {
    let loaded = project::load(global)?;
    let scale = config.scale.iter().cloned().collect();
    let plan = plan::plan(&loaded.project, &scale)
        .map_err(|error| Failure::new(Code::BadFile, format!("error: {error}")))?;
    if config.quiet {
        return Ok(0);
    }
    let text = match (config.format, config.json) {
        (Format::Compose, false) => compose::to_yaml(&loaded.project)?.trim_end().to_owned(),
        (Format::Compose, true) => serde_json::to_string_pretty(&loaded.project)?,
        (Format::Plan, true) => serde_json::to_string_pretty(&plan)?,
        (Format::Plan, false) => plan.script().trim_end().to_owned(),
    };
    out(&format!("{text}\n"))?;
    Ok(0)
}
