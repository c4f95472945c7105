//! `secrets` and `configs`: files that a service is given, from a file beside the project, a variable, or the text itself.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::docker_only::Scope;
use super::model::{FileKind, FileMount, FileSource, GivenFile};
use super::nearest::nearest;
use super::node::{Node, Value};
use super::reader::Reader;

impl Reader<'_> {
    /// The top-level `secrets` or `configs`.
    pub(super) fn files(
        &mut self,
        node: Option<&Node>,
        kind: FileKind,
    ) -> BTreeMap<String, GivenFile> {
        let mut files = BTreeMap::new();
        for (key, value) in node.map_or(&[][..], |node| self.entries(node, kind.key())) {
            self.name(key.at, &key.name, kind.word());
            let what = format!("{} `{}`", kind.word(), key.name);
            let known: &[&str] = match kind {
                FileKind::Secret => &["file", "environment", "external"],
                FileKind::Config => &["file", "environment", "content", "external"],
            };
            let fields = self.fields(value, &what, Some(Scope::GivenFile), known);
            if let Some((key, external)) = fields.get("external")
                && self.boolean(external, "external") == Some(true)
            {
                self.error(
                    key.at,
                    format!("{what} is external, and nobody keeps any for a lab"),
                    format!(
                        "write file: ./{} in its place",
                        what.replace(['`', ' '], "")
                    ),
                );
                continue;
            }
            let stated: Vec<&str> = fields
                .keys()
                .copied()
                .filter(|key| *key != "external")
                .collect();
            let [stated] = stated[..] else {
                self.error(
                    key.at,
                    format!("{what} says not exactly one thing"),
                    "write one of file: PATH and environment: VARIABLE",
                );
                continue;
            };
            let (_, value) = fields[stated];
            let Some(text) = self.text(value, stated) else {
                continue;
            };
            let source = match stated {
                "file" => FileSource::File(self.host_path(text)),
                "content" => FileSource::Content(text.to_owned()),
                _ => {
                    if !self.env.contains_key(text) {
                        self.error(
                            value.at,
                            format!("{what} is the variable `{text}`, which is not set"),
                            format!("set it in the environment or in `.env`: {text}=..."),
                        );
                    }
                    FileSource::Environment(text.to_owned())
                }
            };
            let content = match &source {
                FileSource::File(_) => None,
                FileSource::Content(text) => Some(text.clone()),
                FileSource::Environment(name) => self.env.get(name).cloned(),
            };
            let at = key.at;
            files.insert(
                key.name.clone(),
                GivenFile {
                    source,
                    content: content.map(Into::into),
                    at,
                },
            );
        }
        files
    }

    /// `secrets` or `configs` of a service; `declared` are the top-level ones.
    pub(super) fn given(
        &mut self,
        node: &Node,
        kind: FileKind,
        declared: &BTreeMap<String, GivenFile>,
    ) -> Vec<FileMount> {
        let mut mounts = Vec::new();
        for item in self.items(node, kind.key()) {
            let (source, target) = match &item.value {
                Value::Map(_) => {
                    let fields = self.fields(
                        item,
                        kind.key(),
                        Some(Scope::FileMount),
                        &["source", "target"],
                    );
                    let Some((_, source)) = fields.get("source") else {
                        self.error(
                            item.at,
                            format!("{} has an entry without `source`", kind.key()),
                            "name what is given",
                        );
                        continue;
                    };
                    (*source, fields.get("target").map(|(_, target)| *target))
                }
                _ => (item, None),
            };
            let Some(name) = self.text(source, kind.key()) else {
                continue;
            };
            if !declared.contains_key(name) {
                let known: Vec<&str> = declared.keys().map(String::as_str).collect();
                let remedy = match nearest(name, &known) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!(
                        "add it under the top-level `{}`: {name}: {{ file: ./{name} }}",
                        kind.key()
                    ),
                };
                self.error(
                    source.at,
                    format!("{} `{name}` is not declared", kind.word()),
                    remedy,
                );
                continue;
            }
            let target = match target {
                None => Some(kind.folder().join(name)),
                Some(node) => self.text(node, "target").and_then(|text| {
                    let path = match kind {
                        FileKind::Secret if !text.starts_with('/') => kind.folder().join(text),
                        _ => PathBuf::from(text),
                    };
                    self.inner_path(node.at, &path.to_string_lossy(), "target")
                }),
            };
            mounts.extend(target.map(|target| FileMount {
                kind,
                name: name.to_owned(),
                target,
            }));
        }
        mounts
    }
}
