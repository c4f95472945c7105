//! `environment` and `env_file`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::diagnostic::{Diagnostic, Source, Span};
use super::dotenv;
use super::gather::text_of;
use super::node::{Node, Value};
use super::reader::Reader;

impl Reader<'_> {
    /// `environment`, as a mapping or a list; a key without a value passes the caller's on.
    pub(super) fn environment(&mut self, node: &Node) -> BTreeMap<String, String> {
        let mut variables = BTreeMap::new();
        let mut add = |reader: &Self, name: &str, value: Option<&str>| {
            if let Some(value) = value.or_else(|| reader.env.get(name).map(String::as_str)) {
                variables.insert(name.to_owned(), value.to_owned());
            }
        };
        match &node.value {
            Value::List(items) => {
                for item in items {
                    let Some(text) = self.text(item, "environment") else {
                        continue;
                    };
                    match text.split_once('=') {
                        Some(("", _)) => self.error(
                            item.at,
                            format!("`{text}` names no variable"),
                            "write NAME=value",
                        ),
                        Some((name, value)) => add(self, name, Some(value)),
                        None => add(self, text, None),
                    }
                }
            }
            _ => {
                for (key, value) in self.entries(node, "environment") {
                    match &value.value {
                        Value::Null => add(self, &key.name, None),
                        _ => {
                            if let Some(text) = self.text(value, &key.name) {
                                add(self, &key.name, Some(text));
                            }
                        }
                    }
                }
            }
        }
        variables
    }

    /// `env_file`: a path, a list of paths, or entries with `path` and `required`; later files win.
    pub(super) fn env_files(&mut self, node: &Node) -> BTreeMap<String, String> {
        let single = [node.clone()];
        let items = if matches!(node.value, Value::Scalar(_)) {
            &single[..]
        } else {
            self.items(node, "env_file")
        };
        let mut variables = BTreeMap::new();
        for item in items {
            let (path_node, required) = match &item.value {
                Value::Map(_) => {
                    let fields = self.fields(item, "env_file", None, &["path", "required"]);
                    let required = fields
                        .get("required")
                        .and_then(|(_, node)| self.boolean(node, "required"))
                        .unwrap_or(true);
                    let Some((_, path)) = fields.get("path") else {
                        self.error(item.at, "env_file has an entry without `path`", "state it");
                        continue;
                    };
                    (*path, required)
                }
                _ => (item, true),
            };
            let Some(path) = self
                .text(path_node, "env_file")
                .map(|path| self.host_path(path))
            else {
                continue;
            };
            match text_of(&path) {
                Ok(text) => variables.extend(self.dotenv(path_node.at, path, text)),
                Err(error) if !required && error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => self.error(
                    path_node.at,
                    format!("{} cannot be read: {error}", path.display()),
                    "create it, or set `required: false`",
                ),
            }
        }
        variables
    }

    /// The variables of a file that is named at `at`.
    fn dotenv(&mut self, at: Span, path: PathBuf, text: String) -> BTreeMap<String, String> {
        let mut unset = Vec::new();
        let lookup = |name: &str| self.env.get(name).cloned();
        let read = dotenv::parse(&text, &lookup, &mut |line, name| {
            unset.push((line, name.to_owned()));
        });
        let source = [Source { path, text }];
        let place = |line| Span {
            file: 0,
            line,
            column: 1,
        };
        for (line, name) in unset {
            self.unset(&source, place(line), &name);
        }
        read.unwrap_or_else(|(line, message, remedy)| {
            let diagnostic = Diagnostic::new(&source, place(line), message, remedy);
            self.found.push((at, diagnostic));
            BTreeMap::new()
        })
    }
}
