//! What a service runs: `x-netns`, else a guess from the image's name, else its own command line.

use super::diagnostic::Span;
use super::image::{self, Hint};
use super::model::{Run, Server};
use super::node::{Key, Node};
use super::reader::Reader;

/// `x-netns`, read.
#[derive(Default)]
pub(super) struct Extension {
    pub(super) tier: Option<(Span, String)>,
    pub(super) run: Option<Run>,
}

impl Reader<'_> {
    /// `x-netns` of a service.
    pub(super) fn extension(&mut self, node: Option<&Node>) -> Extension {
        let Some(node) = node else {
            return Extension::default();
        };
        let fields = self.fields(node, "x-netns", None, &["tier", "run"]);
        let tier = fields
            .get("tier")
            .and_then(|(_, node)| Some((node.at, self.text(node, "tier")?.to_owned())));
        let run = fields.get("run").and_then(|(key, node)| {
            let fields = self.fields(node, "run", None, &["cargo", "server", "exec"]);
            if fields.len() != 1 {
                self.error(key.at, "run says not exactly one thing", "write one of { cargo: PACKAGE }, { server: postgres } and { exec: [PROGRAM, ARGUMENT] }");
                return None;
            }
            if let Some((_, node)) = fields.get("cargo") {
                let fits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
                return self.parsed(node, "cargo", "the name of a package", |text| fits(text).then(|| Run::Cargo { package: text.to_owned() }));
            }
            if let Some((_, node)) = fields.get("server") {
                return self.parsed(node, "server", "postgres or redis", |text| match text {
                    "postgres" => Some(Run::Server(Server::Postgres)),
                    "redis" | "valkey" => Some(Run::Server(Server::Redis)),
                    _ => None,
                });
            }
            let (_, node) = fields.get("exec")?;
            let argv = self.words(node, "exec")?;
            if argv.is_empty() {
                self.error(node.at, "exec is empty", "write a program and its arguments");
                return None;
            }
            Some(Run::Exec { argv })
        });
        Extension { tier, run }
    }

    /// What a service runs. An `entrypoint` replaces the server that its image hints at, as it does in Docker.
    pub(super) fn run(
        &mut self,
        key: &Key,
        stated: Option<Run>,
        image: Option<&str>,
        entrypoint: Option<&[String]>,
        command: Option<&[String]>,
    ) -> Run {
        if let Some(run) = stated {
            return run;
        }
        if let Some(run) = derived(image, entrypoint, command) {
            return run;
        }
        let command = command.unwrap_or_default();
        let argv = command.to_vec();
        let name = &key.name;
        let hint = image.map_or(Hint::Unknown, image::hint);
        let shown = image.unwrap_or_default();
        let (message, remedy) = match hint {
            Hint::Otherwise(server) => (
                format!(
                    "service `{name}` has the image `{shown}`, whose variables and folders are not the official image's"
                ),
                format!(
                    "write those of the official image, and add: x-netns: {{ run: {{ server: {} }} }}",
                    match server {
                        Server::Postgres => "postgres",
                        Server::Redis => "redis",
                    }
                ),
            ),
            _ => (
                match (image, command.first()) {
                    (_, Some(option)) => format!(
                        "service `{name}` has arguments (`{option}`) for a program of its image, and images are not run"
                    ),
                    (Some(_), None) => format!(
                        "service `{name}` does not say what this machine should run (its image `{shown}` is a hint only: images are not run)"
                    ),
                    (None, None) => {
                        format!("service `{name}` does not say what this machine should run")
                    }
                },
                format!(
                    "add a line such as: x-netns: {{ run: {{ exec: [{}] }} }}",
                    image::suggestion(image, command)
                ),
            ),
        };
        self.error(key.at, message, remedy);
        Run::Exec { argv }
    }
}

/// What a service runs that has no `x-netns`: its own command line, or the server that its image is named like. An `entrypoint`
/// replaces that server, as it does in Docker.
pub(super) fn derived(
    image: Option<&str>,
    entrypoint: Option<&[String]>,
    command: Option<&[String]>,
) -> Option<Run> {
    let entrypoint = entrypoint.unwrap_or_default();
    let command = command.unwrap_or_default();
    if entrypoint.is_empty() {
        if let Some(Hint::Official(server)) = image.map(image::hint) {
            return Some(Run::Server(server));
        }
        // A command that starts with an option is for the program of the image.
        command.first().filter(|word| !word.starts_with('-'))?;
    }
    Some(Run::Exec {
        argv: [entrypoint, command].concat(),
    })
}
