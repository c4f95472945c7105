//! Reads nodes into values and collects what is wrong on the way, so that one run reports every error of a file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::diagnostic::{Diagnostic, Source, Span};
use super::docker_only::{self, Scope};
use super::nearest::nearest;
use super::node::{Key, Node, Value};
use super::parse;
use super::units;
use super::unsupported;

/// What reading needs to know and what it leaves behind.
pub(super) struct Reader<'a> {
    pub(super) sources: &'a [Source],
    /// The variables, `.env` included.
    pub(super) env: &'a BTreeMap<String, String>,
    /// What relative paths start from.
    pub(super) dir: &'a Path,
    /// The services that are on.
    pub(super) services: BTreeSet<String>,
    /// The services that are off, because none of their profiles is on.
    pub(super) off: BTreeSet<String>,
    /// Ports published so far.
    pub(super) published: usize,
    /// What is wrong so far.
    pub(super) found: Vec<(Span, Diagnostic)>,
    /// What is only worth a word.
    pub(super) warned: Vec<Diagnostic>,
    /// Places that later checks name: `subnet:<network>`, `address:<service>`, `depends:<service>:<other>`.
    pub(super) places: BTreeMap<String, Span>,
}

/// Most errors of a file that are told: nobody reads more at once.
const MOST_ERRORS: usize = 50;

impl<'a> Reader<'a> {
    /// For these files, with nothing read yet.
    pub(super) fn new(
        sources: &'a [Source],
        dir: &'a Path,
        env: &'a BTreeMap<String, String>,
    ) -> Self {
        Self {
            sources,
            env,
            dir,
            services: BTreeSet::new(),
            off: BTreeSet::new(),
            published: 0,
            found: Vec::new(),
            warned: Vec::new(),
            places: BTreeMap::new(),
        }
    }

    /// The files laid on top of each other, their variables left as they are; none when one is no YAML.
    pub(super) fn merged(&mut self) -> Option<Node> {
        let mut merged: Option<Node> = None;
        for (source, index) in self.sources.iter().zip(0_u16..) {
            match parse::parse(index, &source.text) {
                Ok(node) => match &mut merged {
                    Some(base) => base.merge(node),
                    None => merged = Some(node),
                },
                Err(malformed) => self.error(malformed.at, malformed.message, "correct the YAML"),
            }
        }
        merged.filter(|_| self.found.is_empty())
    }

    /// What was wrong, in the order of the files.
    pub(super) fn ended(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|(at, _)| *at);
        self.found
            .into_iter()
            .map(|(_, diagnostic)| diagnostic)
            .collect()
    }
}

impl Reader<'_> {
    /// Notes something that is only worth a word.
    pub(super) fn warn(&mut self, at: Span, message: impl Into<String>, remedy: impl Into<String>) {
        let diagnostic = Diagnostic::new(self.sources, at, message, remedy);
        if self.warned.len() < MOST_ERRORS && !self.warned.contains(&diagnostic) {
            self.warned.push(diagnostic);
        }
    }

    /// Notes, once for each variable, that it is not set.
    pub(super) fn unset(&mut self, sources: &[Source], at: Span, name: &str) {
        let message = format!("the variable `{name}` is not set");
        if self.warned.len() < MOST_ERRORS
            && !self.warned.iter().any(|other| other.message == message)
        {
            let remedy = "an empty text takes its place";
            self.warned
                .push(Diagnostic::new(sources, at, message, remedy));
        }
    }

    /// Notes an error.
    pub(super) fn error(
        &mut self,
        at: Span,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        if self.found.len() >= MOST_ERRORS {
            return;
        }
        let diagnostic = Diagnostic::new(self.sources, at, message, remedy);
        // An anchor that is used three times is read three times, but wrong once.
        if !self.found.iter().any(|(_, other)| *other == diagnostic) {
            self.found.push((at, diagnostic));
        }
    }

    /// `file:line` of a place, for messages that name a second one.
    pub(super) fn line(&self, at: Span) -> String {
        match self.sources.get(usize::from(at.file)) {
            Some(source) if self.sources.len() > 1 => {
                format!("{}:{}", source.path.display(), at.line)
            }
            _ => format!("line {}", at.line),
        }
    }

    /// The entries of a mapping whose keys are all in `known` or in the table of Docker's own (`x-` keys are skipped). Nothing counts
    /// as an empty mapping.
    pub(super) fn fields<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        scope: Option<Scope>,
        known: &[&str],
    ) -> BTreeMap<&'n str, (&'n Key, &'n Node)> {
        let mut fields = BTreeMap::new();
        for (key, value) in self.entries(node, what) {
            if known.contains(&key.name.as_str()) {
                fields.insert(key.name.as_str(), (key, value));
            } else if !key.name.starts_with("x-")
                && !scope.is_some_and(|scope| docker_only::contains(scope, &key.name))
            {
                let known_elsewhere = scope.and_then(|scope| unsupported::remedy(scope, &key.name));
                let remedy = match (known_elsewhere, nearest(&key.name, known)) {
                    (Some(remedy), _) => remedy.to_owned(),
                    (None, Some(near)) => format!("did you mean `{near}`?"),
                    (None, None) => format!("remove it; understood here: {}", known.join(", ")),
                };
                self.error(
                    key.at,
                    format!("{what} has the key `{}`, which is not supported", key.name),
                    remedy,
                );
            }
        }
        fields
    }

    /// The entries of a mapping, whatever its keys.
    pub(super) fn entries<'n>(&mut self, node: &'n Node, what: &str) -> &'n [(Key, Node)] {
        match &node.value {
            Value::Map(entries) => entries,
            Value::Null => &[],
            _ => {
                self.error(
                    node.at,
                    format!("{what} is {}, not a mapping", node.kind()),
                    "write `key: value` lines",
                );
                &[]
            }
        }
    }

    /// The items of a list; nothing counts as an empty one.
    pub(super) fn items<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Node] {
        match &node.value {
            Value::List(items) => items,
            Value::Null => &[],
            _ => {
                self.error(
                    node.at,
                    format!("{what} is {}, not a list", node.kind()),
                    "write `- item` lines or `[item, item]`",
                );
                &[]
            }
        }
    }

    /// A single value as text.
    pub(super) fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        match &node.value {
            Value::Scalar(text) => Some(text),
            _ => {
                self.error(
                    node.at,
                    format!("{what} is {}, not a single value", node.kind()),
                    "write one value",
                );
                None
            }
        }
    }

    /// A single value that `parse` understands; `form` says what it should look like.
    pub(super) fn parsed<T>(
        &mut self,
        node: &Node,
        what: &str,
        form: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(node, what)?;
        let value = parse(text);
        if value.is_none() {
            self.error(
                node.at,
                format!("{what} is `{text}`"),
                format!("write {form}"),
            );
        }
        value
    }

    /// A whole number within bounds.
    pub(super) fn number<T>(&mut self, node: &Node, what: &str, low: T, high: T) -> Option<T>
    where
        T: std::str::FromStr + PartialOrd + Display + Copy,
    {
        let form = format!("a whole number from {low} to {high}");
        self.parsed(node, what, &form, |text| {
            text.parse()
                .ok()
                .filter(|value| *value >= low && *value <= high)
        })
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        self.parsed(node, what, "true or false", |text| text.parse().ok())
    }

    /// A duration.
    pub(super) fn duration(&mut self, node: &Node, what: &str) -> Option<Duration> {
        self.parsed(
            node,
            what,
            "a duration such as 500ms, 10s or 1m30s",
            units::duration,
        )
    }

    /// A size in bytes.
    pub(super) fn bytes(&mut self, node: &Node, what: &str) -> Option<u64> {
        self.parsed(node, what, "a size such as 64k, 128M or 1G", units::bytes)
    }

    /// A list of words, or one text split as a shell splits it.
    pub(super) fn words(&mut self, node: &Node, what: &str) -> Option<Vec<String>> {
        match &node.value {
            Value::List(items) => Some(
                items
                    .iter()
                    .filter_map(|item| self.text(item, what).map(str::to_owned))
                    .collect(),
            ),
            Value::Scalar(_) => self.parsed(node, what, "balanced quotes", units::words),
            Value::Null => None,
            Value::Map(_) => {
                self.error(
                    node.at,
                    format!("{what} is a mapping"),
                    "write a list of words, or one command line",
                );
                None
            }
        }
    }

    /// Whether the name is that of a service that is on; said otherwise, `what` being what names it.
    pub(super) fn is_service(&mut self, at: Span, name: &str, what: &str) -> bool {
        if self.services.contains(name) {
            return true;
        }
        if self.off.contains(name) {
            self.error(
                at,
                format!("{what} `{name}`, whose profiles are off"),
                "turn one on: --profile NAME, or COMPOSE_PROFILES=NAME",
            );
            return false;
        }
        let known: Vec<&str> = self.services.iter().map(String::as_str).collect();
        let remedy = match nearest(name, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the services are {}", known.join(", ")),
        };
        self.error(at, format!("{what} `{name}`, which is no service"), remedy);
        false
    }

    /// A path of the host, relative ones taken from the project's folder, without `.` and `..`.
    pub(super) fn host_path(&self, text: &str) -> PathBuf {
        let expanded = match text.strip_prefix('~') {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                Path::new(self.env.get("HOME").map_or("/", String::as_str))
                    .join(rest.trim_start_matches('/'))
            }
            _ => self.dir.join(text),
        };
        normal(&expanded)
    }

    /// An absolute path inside an instance.
    pub(super) fn inner_path(&mut self, at: Span, text: &str, what: &str) -> Option<PathBuf> {
        let path = Path::new(text);
        if path.is_absolute()
            && path.components().all(|part| part != Component::ParentDir)
            && normal(path) != Path::new("/")
        {
            return Some(normal(path));
        }
        self.error(
            at,
            format!("{what} is `{text}`"),
            "write an absolute path below /, without `..`",
        );
        None
    }
}

/// The path without `.` and with each `..` taken back.
pub(super) fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lose_their_dots() {
        assert_eq!(normal(Path::new("/a/./b/../c")), Path::new("/a/c"));
        assert_eq!(normal(Path::new("/../x")), Path::new("/x"));
    }
}
