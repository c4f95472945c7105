//! What a service asks of the kernel: `sysctls`, `ulimits`, `shm_size`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::diagnostic::Span;
use super::model::{Mount, MountSource};
use super::node::{Node, Value};
use super::reader::Reader;

impl Reader<'_> {
    /// `sysctls` of the network namespace, as a list of `key=value` or a mapping.
    pub(super) fn sysctls(&mut self, node: &Node) -> BTreeMap<String, String> {
        let mut settings = BTreeMap::new();
        let mut add = |reader: &mut Self, at: Span, key: &str, value: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
            let fits = key.strip_prefix("net.").is_some_and(|rest| {
                rest.chars().all(plain) && rest.split('.').all(|part| !part.is_empty())
            });
            if !fits {
                reader.error(
                    at,
                    format!("the sysctl `{key}` is not one of the network"),
                    "remove it: a sandbox may set what begins with `net.`, the rest is the machine's",
                );
            } else if value.is_empty() || value.chars().any(char::is_control) {
                reader.error(
                    at,
                    format!("the sysctl `{key}` has no value"),
                    "write key=value",
                );
            } else {
                settings.insert(key.to_owned(), value.to_owned());
            }
        };
        match &node.value {
            Value::List(items) => {
                for item in items {
                    if let Some(text) = self.text(item, "sysctls") {
                        let (key, value) = text.split_once('=').unwrap_or((text, ""));
                        add(self, item.at, key.trim(), value.trim());
                    }
                }
            }
            _ => {
                for (key, value) in self.entries(node, "sysctls") {
                    if let Some(text) = self.text(value, &key.name) {
                        add(self, key.at, &key.name, text);
                    }
                }
            }
        }
        settings
    }

    /// `ulimits`: the number of open files. The others are told, and left as they are.
    pub(super) fn ulimits(&mut self, node: &Node) -> Option<u64> {
        let mut open_files = None;
        for (key, value) in self.entries(node, "ulimits") {
            let hard = match &value.value {
                Value::Map(_) => {
                    let fields = self.fields(value, &key.name, None, &["soft", "hard"]);
                    match fields.get("hard").or(fields.get("soft")) {
                        Some((_, node)) => (*node).clone(),
                        None => continue,
                    }
                }
                _ => value.clone(),
            };
            let limit = self.number(&hard, &key.name, -1, i64::MAX);
            if key.name == "nofile" {
                // -1 is no limit.
                open_files = limit.map(|limit| u64::try_from(limit).unwrap_or(u64::MAX));
            } else {
                self.warn(
                    key.at,
                    format!("the ulimit `{}` is not set", key.name),
                    "a sandbox has the lab's own, and no core dumps",
                );
            }
        }
        open_files
    }

    /// `shm_size`: a `/dev/shm` of that size.
    pub(super) fn shm(&mut self, node: &Node) -> Option<Mount> {
        Some(Mount {
            source: MountSource::Tmpfs {
                size: Some(self.bytes(node, "shm_size")?),
                mode: None,
            },
            target: PathBuf::from("/dev/shm"),
            read_only: false,
        })
    }
}
