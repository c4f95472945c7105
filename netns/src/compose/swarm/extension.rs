//! `x-swarm`: what a Swarm needs and Compose cannot say, checked like every other key.
//!
//! ```yaml
//! x-swarm:                        # of the file
//!   name: shop                    # what names of secrets and configs start with, unless STACK says otherwise
//!   command: ./deploy.sh          # what prepares the secrets and deploys, for whoever forgets it
//!   secrets:                      # volumes that hold secrets: each file becomes a secret of the Swarm
//!     secrets-web: { uid: 65532, files: [token, web-password:password] }      # SECRET, or SECRET:FILE
//! services:
//!   web:
//!     x-swarm: { deploy: { replicas: 2 } }      # laid on the service's own `deploy`
//!   mint:
//!     x-swarm: { omit: true }
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::super::node::{Node, Value};
use super::super::reader::Reader;

/// `x-swarm` of the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Extension {
    /// `name`.
    pub(super) name: Option<String>,
    /// `command`.
    pub(super) command: Option<String>,
    /// `secrets`, by volume.
    pub(super) secrets: BTreeMap<String, SecretFiles>,
}

/// The files of a volume that becomes secrets.
#[derive(Clone, Debug, Default)]
pub(super) struct SecretFiles {
    /// Who alone may read them; everybody in the container when absent.
    pub(super) uid: Option<u32>,
    /// Name of the secret, and of the file.
    pub(super) files: Vec<(String, String)>,
}

impl Reader<'_> {
    /// Every `x-swarm` of the file.
    pub(in crate::compose) fn swarm(&mut self, root: &Node, volumes: &BTreeSet<String>) {
        let _ = self.swarm_file(root.get("x-swarm"), volumes);
        let services = root.get("services").map(|node| &node.value);
        if let Some(Value::Map(services)) = services {
            for (key, node) in services {
                let _ = self.swarm_service(&key.name, node);
            }
        }
    }

    /// `x-swarm` of the file.
    pub(super) fn swarm_file(
        &mut self,
        node: Option<&Node>,
        volumes: &BTreeSet<String>,
    ) -> Extension {
        let Some(node) = node else {
            return Extension::default();
        };
        let fields = self.fields(node, "x-swarm", None, &["name", "command", "secrets"]);
        let name = fields.get("name").and_then(|(_, node)| {
            self.parsed(
                node,
                "name",
                "at most 30 lower-case letters, digits and `-`, starting with a letter",
                |text| {
                    let fits = text.starts_with(|c: char| c.is_ascii_lowercase())
                        && text.len() <= 30
                        && text
                            .chars()
                            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
                    fits.then(|| text.to_owned())
                },
            )
        });
        let command = fields.get("command").and_then(|(_, node)| {
            self.parsed(
                node,
                "command",
                "a command without quotes, `$` and braces",
                |text| {
                    let fits = !text.is_empty() && !text.contains(['"', '$', '{', '}', '\n']);
                    fits.then(|| text.to_owned())
                },
            )
        });
        let mut secrets = BTreeMap::new();
        for (key, node) in fields.get("secrets").map_or(&[][..], |(_, node)| {
            self.entries(node, "secrets of x-swarm")
        }) {
            if !volumes.contains(&key.name) {
                self.error(
                    key.at,
                    format!(
                        "x-swarm makes secrets of the volume `{}`, which is not declared",
                        key.name
                    ),
                    "name one of the top-level `volumes`",
                );
            }
            let files = self.secret_files(&key.name, node);
            secrets.insert(key.name.clone(), files);
        }
        Extension {
            name,
            command,
            secrets,
        }
    }

    fn secret_files(&mut self, volume: &str, node: &Node) -> SecretFiles {
        let what = format!("secrets of the volume `{volume}`");
        let fields = self.fields(node, &what, None, &["uid", "files"]);
        let uid = fields
            .get("uid")
            .and_then(|(_, node)| self.number(node, "uid", 0, u32::MAX - 1));
        let mut files: Vec<(String, String)> = Vec::new();
        let Some((_, list)) = fields.get("files") else {
            self.error(
                node.at,
                format!("{what} has no `files`"),
                "list the files: SECRET, or SECRET:FILE",
            );
            return SecretFiles::default();
        };
        for item in self.items(list, "files") {
            let pair = self.parsed(
                item,
                "a secret",
                "SECRET or SECRET:FILE in letters, digits, `-`, `_` and `.`",
                |text| {
                    let (secret, file) = text.split_once(':').unwrap_or((text, text));
                    (is_name(secret) && is_name(file)).then(|| (secret.to_owned(), file.to_owned()))
                },
            );
            let Some(pair) = pair else { continue };
            if files.iter().any(|(_, file)| *file == pair.1) {
                self.error(
                    item.at,
                    format!("{what} has the file `{}` twice", pair.1),
                    "keep one of them",
                );
            }
            files.push(pair);
        }
        SecretFiles { uid, files }
    }

    /// `x-swarm` of a service: whether it is left out.
    pub(super) fn swarm_service(&mut self, name: &str, service: &Node) -> bool {
        let Some(node) = service.get("x-swarm") else {
            return false;
        };
        let what = format!("x-swarm of service `{name}`");
        let fields = self.fields(node, &what, None, &["omit", "deploy"]);
        let omit = fields
            .get("omit")
            .and_then(|(_, node)| self.boolean(node, "omit"))
            .unwrap_or(false);
        if let Some((key, node)) = fields.get("deploy") {
            if omit {
                self.error(
                    key.at,
                    format!("{what} leaves the service out and says how to deploy it"),
                    "remove one of the two",
                );
            }
            self.swarm_deploy(node, &what);
        }
        omit
    }
}

/// What Docker takes for the name of a secret or config.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 40
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}
