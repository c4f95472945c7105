//! Reads the subset of the Compose Specification that the lab can run; refuses the rest by name, line and column.
//!
//! Nothing is ever ignored in silence: a key is understood, or listed in the table of Docker's own with the reason, or an error. What
//! runs all the same, and otherwise than on Docker, is said as a warning.
//! All errors of a file are reported together.

mod attachment;
mod check;
mod diagnostic;
mod differs;
mod docker_only;
mod dotenv;
mod environment;
mod extends;
mod files;
mod flows;
mod gather;
mod given;
mod health;
mod image;
mod interpolate;
mod kernel_settings;
mod limits;
mod merge;
mod model;
mod mounts;
mod names;
mod nearest;
mod networks;
mod node;
mod parse;
mod paths;
mod ports;
mod reader;
mod render;
mod run;
mod service;
mod services;
mod swarm;
mod units;
mod unsupported;
mod values;
mod yaml;

pub use diagnostic::{Diagnostic, Source, Span};
pub use extends::PROFILES;
pub use model::*;
pub use render::{canonical, canonical_yaml};
pub use swarm::{Contents, Find, Found, generate, swarm};
pub use units::byte_size;
pub use yaml::to_yaml;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use docker_only::Scope;
use gather::gather;
use interpolate::Variables;
use node::{Node, Value};
use reader::Reader;
use services::Declared;

/// Most services of a file: who may reach whom is decided pair by pair.
const MOST_SERVICES: usize = 500;

/// Reads, merges and checks `files` (later ones override earlier ones) with `env` for `${VARIABLES}`; `env_files`, or where there
/// are none a `.env` beside the first file, are read too, `env` wins over them.
///
/// # Errors
/// Everything that is wrong, in the order of the files; never empty.
pub fn load(
    files: &[PathBuf],
    env_files: &[PathBuf],
    env: &BTreeMap<String, String>,
) -> Result<Project, Vec<Diagnostic>> {
    let mut gathered = gather(files, env_files, env)?;
    let mut project = read(gathered.sources, &gathered.dir, &gathered.variables)?;
    gathered.warnings.append(&mut project.warnings);
    project.warnings = gathered.warnings;
    project.variables = gathered.variables;
    Ok(project)
}

/// The variables that [`load`] would read with a first file in `dir`.
///
/// # Errors
/// When a file with variables cannot be read; never empty.
pub fn variables(
    dir: &Path,
    env_files: &[PathBuf],
    env: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Vec<Diagnostic>> {
    gather::variables(dir, env_files, env, &mut Vec::new())
}

/// The pure part of [`load`] (but for `env_file`): `dir` is what relative paths start from.
///
/// # Errors
/// Everything that is wrong, in the order of the files; never empty.
pub fn read(
    mut sources: Vec<Source>,
    dir: &Path,
    env: &BTreeMap<String, String>,
) -> Result<Project, Vec<Diagnostic>> {
    for source in &mut sources {
        one_line_end(&mut source.text);
    }
    let mut reader = Reader::new(&sources, dir, env);
    let project = reader.merged().and_then(|mut root| {
        reader.substitute(&mut root);
        reader.extend(&mut root);
        reader.project(&root)
    });
    let warnings = std::mem::take(&mut reader.warned);
    let found = reader.ended();
    match project {
        Some(project) if found.is_empty() => Ok(Project {
            sources,
            warnings,
            ..project
        }),
        _ => Err(found),
    }
}

/// To YAML a carriage return alone ends a line as well, to everybody else it does not: counted as one, the place of an error would be
/// another line for the reader's editor.
fn one_line_end(text: &mut String) {
    if text.replace("\r\n", "").contains('\r') {
        *text = text.replace("\r\n", "\n").replace('\r', "\n");
    }
}

impl Reader<'_> {
    /// Replaces the variables in every value (keys are left alone, as Compose leaves them).
    fn substitute(&mut self, node: &mut Node) {
        match &mut node.value {
            Value::Null => {}
            Value::Scalar(text) => {
                let env = self.env;
                let mut unset = Vec::new();
                let mut variables = Variables {
                    lookup: &|name| env.get(name).cloned(),
                    unset: &mut |name| unset.push(name.to_owned()),
                };
                match interpolate::interpolate(text, &mut variables) {
                    Ok(replaced) => *text = replaced,
                    Err((message, remedy)) => self.error(node.at, message, remedy),
                }
                let sources = self.sources;
                for name in unset {
                    self.unset(sources, node.at, &name);
                }
            }
            Value::List(items) => items.iter_mut().for_each(|item| self.substitute(item)),
            Value::Map(entries) => entries
                .iter_mut()
                .for_each(|(_, value)| self.substitute(value)),
        }
    }

    fn project(&mut self, root: &Node) -> Option<Project> {
        let fields = self.fields(
            root,
            "the file",
            Some(Scope::File),
            &[
                "name", "services", "networks", "volumes", "secrets", "configs", "x-flows",
            ],
        );
        let get = |key: &str| fields.get(key).map(|(_, node)| *node);
        let entries = get("services")
            .map(|node| self.entries(node, "services"))
            .unwrap_or_default();
        if entries.is_empty() {
            self.error(
                get("services").map_or(root.at, |node| node.at),
                "the file has no services",
                "add at least one under `services`",
            );
        }
        let mut on = Vec::new();
        for entry in entries {
            let (key, node) = entry;
            match self.off(node) {
                Some(profiles) => drop(self.off.insert(key.name.clone(), profiles)),
                None => on.push(entry),
            }
        }
        self.services = on.iter().map(|(key, _)| key.name.clone()).collect();
        if on.len() > MOST_SERVICES {
            self.error(
                on[MOST_SERVICES].0.at,
                format!("the file has {} services", on.len()),
                format!("keep at most {MOST_SERVICES}"),
            );
            return None;
        }
        // A mode that is refused is taken for none given: one error is enough.
        let has_mode = |node: &Node| matches!(node.get("network_mode"), Some(mode) if matches!(&mode.value, Value::Scalar(text) if text == "none"));
        let wants_default = on
            .iter()
            .any(|(_, node)| node.get("networks").is_none() && !has_mode(node));
        let networks = self.networks(get("networks"), wants_default);
        let volumes = self.declared_volumes(get("volumes"));
        let policy = self.flows(get("x-flows"));
        let secrets = self.files(get("secrets"), FileKind::Secret);
        let configs = self.files(get("configs"), FileKind::Config);
        let declared = Declared {
            networks: &networks,
            volumes: &volumes,
            secrets: &secrets,
            configs: &configs,
        };
        let mut services = BTreeMap::new();
        for (key, node) in on {
            self.name(key.at, &key.name, "service");
            let taken = match key.name.as_str() {
                WORLD => Some("the outside in x-flows"),
                ROUTER => Some("what routes between the networks (`exec router`)"),
                _ => None,
            };
            if let Some(meaning) = taken {
                self.error(
                    key.at,
                    format!("a service is called `{}`, the name of {meaning}", key.name),
                    "rename it",
                );
            }
            services.insert(key.name.clone(), self.service(key, node, &declared));
        }
        self.check(&services, &networks, &policy);
        self.swarm(root, &volumes);
        let name = match (
            self.env
                .get("COMPOSE_PROJECT_NAME")
                .filter(|name| !name.is_empty()),
            get("name"),
        ) {
            (Some(name), _) => name.clone(),
            (None, Some(node)) => self.text(node, "name").unwrap_or_default().to_owned(),
            (None, None) => self
                .dir
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
        };
        Some(Project {
            name: project_name(&name),
            dir: self.dir.to_owned(),
            services,
            off: self.off.clone(),
            networks,
            volumes,
            secrets,
            configs,
            policy,
            sources: Vec::new(),
            variables: BTreeMap::new(),
            warnings: Vec::new(),
        })
    }
}

/// A name as Compose normalises it: lower case, only letters, digits, `-` and `_`, starting with a letter or digit.
#[must_use]
pub fn project_name(name: &str) -> String {
    let lower = name.to_lowercase();
    let kept: String = lower
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'))
        .collect();
    match kept.trim_start_matches(['-', '_']) {
        "" => "default".to_owned(),
        kept => kept.to_owned(),
    }
}

/// Whether a name is one as it stands: what it names may be a folder's name, and nothing of it leads elsewhere.
#[must_use]
pub fn is_project_name(name: &str) -> bool {
    !name.is_empty() && project_name(name) == name
}

#[cfg(test)]
mod bounds;
#[cfg(test)]
mod differs_tests;
#[cfg(test)]
mod foreign;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
