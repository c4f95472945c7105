//! `secret`: prints one of the secrets that the lab's volumes hold.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;

use super::args::Global;
use super::failure::{Code, Failure};
use super::project;
use super::terminal::out;
use crate::columns::choice;
use crate::compose::{MountSource, Project};
use crate::lab::state::StateDir;

/// Where services find their secrets.
const SECRETS: &str = "/run/secrets";

/// `secret`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  netns-setup secret                the names
  netns-setup secret admin-token")]
pub(super) struct Secret {
    /// Its name, as in admin-token; without it: the names
    pub name: Option<String>,
}

pub(super) fn run(global: &Global, secret: &Secret) -> Result<u8, Failure> {
    let loaded = project::load(global)?;
    let secrets = secrets(&loaded.project, &loaded.state);
    let services = loaded.project.services.values();
    let mints = services.flat_map(|service| &service.mounts).any(|mount| {
        matches!(mount.source, MountSource::Volume(_)) && mount.target == Path::new(SECRETS)
    });
    if !mints {
        return Err(Failure::new(Code::Failed, none_minted(&loaded.project)));
    }
    if secrets.is_empty() {
        return Err(Failure::new(
            Code::Failed,
            "error: no secrets have been minted yet\n = help: `netns-setup up -d` mints them",
        ));
    }
    let Some(name) = &secret.name else {
        let names: String = secrets.keys().map(|name| format!("{name}\n")).collect();
        out(&names)?;
        return Ok(0);
    };
    let Some(path) = secrets.get(name) else {
        return Err(Failure::new(
            Code::Failed,
            format!(
                "error: there is no secret {name}{}",
                choice("there are", secrets.keys())
            ),
        ));
    };
    out(&format!("{}\n", std::fs::read_to_string(path)?.trim_end()))?;
    Ok(0)
}

/// That the file has no volume at [`SECRETS`], into which a service would put some.
fn none_minted(project: &Project) -> String {
    let given = match project.secrets.is_empty() {
        true => String::new(),
        false => choice(
            "those it has are files, or variables, of yours",
            project.secrets.keys(),
        ),
    };
    format!("error: this file has its services mint no secrets{given}")
}

/// Every secret by its file's name. The same name in two volumes is the same secret; the first one found is taken.
fn secrets(project: &Project, state: &StateDir) -> BTreeMap<String, PathBuf> {
    let mut secrets = BTreeMap::new();
    for mount in project
        .services
        .values()
        .flat_map(|service| &service.mounts)
    {
        let MountSource::Volume(volume) = &mount.source else {
            continue;
        };
        if mount.target != Path::new(SECRETS) {
            continue;
        }
        for entry in std::fs::read_dir(state.volume(volume))
            .into_iter()
            .flatten()
            .flatten()
        {
            if let Some(name) = entry
                .file_name()
                .to_str()
                .filter(|name| !name.starts_with('.'))
            {
                secrets
                    .entry(name.to_owned())
                    .or_insert_with(|| entry.path());
            }
        }
    }
    secrets
}
