//! `volumes` and `tmpfs` of a service.

use std::collections::BTreeSet;

use super::diagnostic::Span;
use super::docker_only::Scope;
use super::model::{Mount, MountSource};
use super::node::{Node, Value};
use super::reader::Reader;
use super::units;

impl Reader<'_> {
    /// The mounts of `volumes`; named ones must be among `declared`.
    pub(super) fn volumes(
        &mut self,
        node: &Node,
        what: &str,
        declared: &BTreeSet<String>,
    ) -> Vec<Mount> {
        let mut mounts = Vec::new();
        for item in self.items(node, what) {
            let mount = match &item.value {
                Value::Map(_) => self.long_volume(item, what, declared),
                _ => self.short_volume(item, what, declared),
            };
            mounts.extend(mount);
        }
        mounts
    }

    fn short_volume(
        &mut self,
        node: &Node,
        what: &str,
        declared: &BTreeSet<String>,
    ) -> Option<Mount> {
        let text = self.text(node, what)?;
        let mut parts = text.splitn(3, ':');
        let (source, target) = (parts.next().unwrap_or_default(), parts.next());
        let Some(target) = target else {
            return Some(Mount {
                source: MountSource::Anonymous,
                target: self.inner_path(node.at, source, what)?,
                read_only: false,
            });
        };
        let mut read_only = false;
        for option in parts
            .next()
            .into_iter()
            .flat_map(|options| options.split(','))
        {
            match option {
                "ro" => read_only = true,
                // Labels, Docker Desktop's caching and copying from an image: none of them exists here.
                "rw" | "z" | "Z" | "cached" | "consistent" | "delegated" | "nocopy" => {}
                other => self.error(
                    node.at,
                    format!("{what} has the option `{other}`, which is not supported"),
                    "the options are ro and rw",
                ),
            }
        }
        let is_path = source.starts_with(['/', '.', '~']);
        let source = if is_path {
            MountSource::Bind(self.host_path(source))
        } else {
            self.named(node.at, source, declared)?
        };
        Some(Mount {
            source,
            target: self.inner_path(node.at, target, what)?,
            read_only,
        })
    }

    fn long_volume(
        &mut self,
        node: &Node,
        what: &str,
        declared: &BTreeSet<String>,
    ) -> Option<Mount> {
        let fields = self.fields(
            node,
            what,
            Some(Scope::Mount),
            &["type", "source", "target", "read_only", "tmpfs", "volume"],
        );
        if let Some((_, node)) = fields.get("volume") {
            self.fields(node, "volume", Some(Scope::MountedVolume), &[]);
        }
        let value = |key: &str| fields.get(key).map(|(_, value)| *value);
        for key in ["type", "target"] {
            if value(key).is_none() {
                self.error(
                    node.at,
                    format!("{what} has an entry without `{key}`"),
                    "state `type`, `source` and `target`",
                );
            }
        }
        let kind = self.text(value("type")?, "type")?;
        let target = value("target")?;
        let target = self
            .text(target, "target")
            .and_then(|text| self.inner_path(target.at, text, "target"));
        let read_only = value("read_only")
            .and_then(|node| self.boolean(node, "read_only"))
            .unwrap_or(false);
        let source = match (kind, value("source")) {
            ("tmpfs", _) => self.tmpfs_options(value("tmpfs")),
            ("volume", Some(source)) => self
                .text(source, "source")
                .and_then(|name| self.named(source.at, name, declared))?,
            ("bind", Some(source)) => MountSource::Bind(
                self.text(source, "source")
                    .map(|path| self.host_path(path))?,
            ),
            ("volume", None) => MountSource::Anonymous,
            ("bind", None) => {
                self.error(
                    node.at,
                    format!("{what} has an entry without `source`"),
                    "state what is mounted",
                );
                return None;
            }
            (other, _) => {
                self.error(
                    value("type")?.at,
                    format!("type is `{other}`"),
                    "write volume, bind or tmpfs",
                );
                return None;
            }
        };
        Some(Mount {
            source,
            target: target?,
            read_only,
        })
    }

    fn tmpfs_options(&mut self, node: Option<&Node>) -> MountSource {
        let Some(node) = node else {
            return MountSource::Tmpfs {
                size: None,
                mode: None,
            };
        };
        let fields = self.fields(node, "tmpfs", None, &["size", "mode"]);
        MountSource::Tmpfs {
            size: fields
                .get("size")
                .and_then(|(_, size)| self.bytes(size, "size")),
            mode: fields.get("mode").and_then(|(_, mode)| {
                self.parsed(mode, "mode", "an octal number such as 1777", octal)
            }),
        }
    }

    fn named(&mut self, at: Span, name: &str, declared: &BTreeSet<String>) -> Option<MountSource> {
        if declared.contains(name) {
            return Some(MountSource::Volume(name.to_owned()));
        }
        self.error(
            at,
            format!("volume `{name}` is not declared"),
            format!("add `{name}:` under the top-level `volumes`, or write ./{name} for a folder"),
        );
        None
    }

    /// The mounts of `tmpfs`: `/path` or `/path:size=64m,mode=1777`, one or a list.
    pub(super) fn tmpfs(&mut self, node: &Node, what: &str) -> Vec<Mount> {
        let single = [node.clone()];
        let items = if matches!(node.value, Value::Scalar(_)) {
            &single[..]
        } else {
            self.items(node, what)
        };
        let mut mounts = Vec::new();
        for item in items {
            let Some(text) = self.text(item, what) else {
                continue;
            };
            let (path, options) = text.split_once(':').unwrap_or((text, ""));
            let (mut size, mut mode, mut read_only) = (None, None, false);
            for option in options.split(',').filter(|option| !option.is_empty()) {
                let understood = match option.split_once('=').unwrap_or((option, "")) {
                    ("size", value) => units::bytes(value).map(|value| size = Some(value)),
                    ("mode", value) => octal(value).map(|value| mode = Some(value)),
                    ("ro", "") => {
                        read_only = true;
                        Some(())
                    }
                    // What a sandbox's tmpfs is anyway, or root's business.
                    ("rw" | "nosuid" | "nodev" | "noexec" | "exec" | "uid" | "gid", _) => Some(()),
                    _ => None,
                };
                if understood.is_none() {
                    self.error(
                        item.at,
                        format!("{what} has the option `{option}`, which is not supported"),
                        "the options are size=64m and mode=1777",
                    );
                }
            }
            if let Some(target) = self.inner_path(item.at, path, what) {
                mounts.push(Mount {
                    source: MountSource::Tmpfs { size, mode },
                    target,
                    read_only,
                });
            }
        }
        mounts
    }
}

fn octal(text: &str) -> Option<u32> {
    u32::from_str_radix(text.trim_start_matches("0o"), 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
}
