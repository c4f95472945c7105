//! What a service runs: `x-netns`, else a guess from the image's name, else its own command line.

use super::diagnostic::Span;
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
        let entrypoint = entrypoint.filter(|words| !words.is_empty());
        if entrypoint.is_none()
            && let Some(server) = image.and_then(hinted)
        {
            return Run::Server(server);
        }
        let argv: Vec<String> = entrypoint
            .into_iter()
            .chain(command)
            .flatten()
            .cloned()
            .collect();
        if argv.is_empty() {
            let image = image.map_or_else(String::new, |image| {
                format!(" (its image `{image}` is a hint only: images are not run)")
            });
            self.error(
                key.at,
                format!("service `{}` does not say what this machine should run{image}", key.name),
                "add x-netns: { run: { cargo: PACKAGE } }, { run: { server: postgres } } or { run: { exec: [PROGRAM, ARGUMENT] } }",
            );
        }
        Run::Exec { argv }
    }
}

/// The server that an image's name stands for: the last part of its path, its tag left out.
fn hinted(image: &str) -> Option<Server> {
    let name = image.rsplit('/').next()?.split([':', '@']).next()?;
    if name.starts_with("postgres") {
        Some(Server::Postgres)
    } else if name.starts_with("redis") || name.starts_with("valkey") {
        Some(Server::Redis)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_hint_at_servers() {
        assert_eq!(hinted("postgres:17-alpine"), Some(Server::Postgres));
        assert_eq!(
            hinted("localhost:5000/library/valkey@sha256:00"),
            Some(Server::Redis)
        );
        assert_eq!(hinted("redis/exporter:1"), None);
        assert_eq!(hinted("nginx"), None);
    }
}
