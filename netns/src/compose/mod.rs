//! Reads the subset of the Compose Specification that the lab can run; refuses the rest by name, line and column.
//!
//! Nothing is ever ignored in silence: a key is understood, or listed in the table of Docker's own with the reason, or an error.
//! All errors of a file are reported together.

mod attachment;
mod check;
mod diagnostic;
mod docker_only;
mod dotenv;
mod environment;
mod flows;
mod health;
mod interpolate;
mod model;
mod mounts;
mod networks;
mod node;
mod ports;
mod reader;
mod run;
mod service;
mod services;
mod units;
mod yaml;

pub use diagnostic::{Diagnostic, Source, Span};
pub use model::*;
pub use yaml::to_yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use docker_only::Scope;
use node::{Node, Value};
use reader::Reader;
use services::Declared;

/// Reads, merges and checks `files` (later ones override earlier ones) with `env` for `${VARIABLES}`; a `.env` file beside
/// the first is read too, `env` wins over it.
///
/// # Errors
/// Everything that is wrong, in the order of the files; never empty.
pub fn load(files: &[PathBuf], env: &BTreeMap<String, String>) -> Result<Project, Vec<Diagnostic>> {
    let mut sources = Vec::new();
    for path in files {
        match std::fs::read_to_string(path) {
            Ok(text) => sources.push(Source {
                path: path.clone(),
                text,
            }),
            Err(error) => {
                let message = format!("{} cannot be read: {error}", path.display());
                return Err(vec![Diagnostic::file(
                    path.clone(),
                    message,
                    "name the Compose file with --file",
                )]);
            }
        }
    }
    let first = files.first().cloned().unwrap_or_default();
    let dir = std::path::absolute(&first)
        .ok()
        .and_then(|path| path.parent().map(reader::normal))
        .unwrap_or_else(|| PathBuf::from("/"));
    let dotenv = dir.join(".env");
    let mut variables = match std::fs::read_to_string(&dotenv) {
        Ok(text) => dotenv::parse(&text, &|name| env.get(name).cloned()).map_err(
            |(line, message, remedy)| {
                let source = [Source {
                    path: dotenv.clone(),
                    text,
                }];
                vec![Diagnostic::new(
                    &source,
                    Span {
                        file: 0,
                        line,
                        column: 1,
                    },
                    message,
                    remedy,
                )]
            },
        )?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
        Err(error) => {
            let message = format!("{} cannot be read: {error}", dotenv.display());
            return Err(vec![Diagnostic::file(
                dotenv,
                message,
                "make it readable, or remove it",
            )]);
        }
    };
    variables.extend(
        env.iter()
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    read(sources, &dir, &variables)
}

/// The pure part of [`load`] (but for `env_file`): `dir` is what relative paths start from.
///
/// # Errors
/// Everything that is wrong, in the order of the files; never empty.
pub fn read(
    sources: Vec<Source>,
    dir: &Path,
    env: &BTreeMap<String, String>,
) -> Result<Project, Vec<Diagnostic>> {
    let mut reader = Reader {
        sources: &sources,
        env,
        dir,
        found: Vec::new(),
        places: BTreeMap::new(),
    };
    let mut merged: Option<Node> = None;
    for (source, index) in sources.iter().zip(0_u16..) {
        match node::parse(index, &source.text) {
            Ok(node) => match &mut merged {
                Some(base) => base.merge(node),
                None => merged = Some(node),
            },
            Err(malformed) => reader.error(malformed.at, malformed.message, "correct the YAML"),
        }
    }
    let project = merged.filter(|_| reader.found.is_empty()).map(|mut root| {
        reader.substitute(&mut root);
        reader.project(&root)
    });
    let mut found = reader.found;
    found.sort_by_key(|(at, _)| *at);
    match project {
        Some(project) if found.is_empty() => Ok(Project { sources, ..project }),
        _ => Err(found
            .into_iter()
            .map(|(_, diagnostic)| diagnostic)
            .collect()),
    }
}

impl Reader<'_> {
    /// Replaces the variables in every value (keys are left alone, as Compose leaves them).
    fn substitute(&mut self, node: &mut Node) {
        match &mut node.value {
            Value::Null => {}
            Value::Scalar(text) => {
                let env = self.env;
                match interpolate::interpolate(text, &|name| env.get(name).cloned()) {
                    Ok(replaced) => *text = replaced,
                    Err((message, remedy)) => self.error(node.at, message, remedy),
                }
            }
            Value::List(items) => items.iter_mut().for_each(|item| self.substitute(item)),
            Value::Map(entries) => entries
                .iter_mut()
                .for_each(|(_, value)| self.substitute(value)),
        }
    }

    fn project(&mut self, root: &Node) -> Project {
        let fields = self.fields(
            root,
            "the file",
            Some(Scope::File),
            &["name", "services", "networks", "volumes", "x-flows"],
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
        let names: BTreeSet<String> = entries.iter().map(|(key, _)| key.name.clone()).collect();
        let wants_default = entries
            .iter()
            .any(|(_, node)| node.get("networks").is_none() && node.get("network_mode").is_none());
        let networks = self.networks(get("networks"), wants_default);
        let volumes = self.declared_volumes(get("volumes"));
        let policy = self.flows(get("x-flows"), &names);
        let declared = Declared {
            services: &names,
            networks: &networks,
            volumes: &volumes,
        };
        let mut services = BTreeMap::new();
        for (key, node) in entries {
            self.name(key.at, &key.name, "service");
            if key.name == WORLD {
                self.error(
                    key.at,
                    "a service is called `world`, the name of the outside in x-flows",
                    "rename it",
                );
            }
            services.insert(key.name.clone(), self.service(key, node, &declared));
        }
        self.check(&services, &networks, &policy);
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
        Project {
            name: project_name(&name),
            dir: self.dir.to_owned(),
            services,
            networks,
            volumes,
            policy,
            sources: Vec::new(),
        }
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

#[cfg(test)]
mod tests;
