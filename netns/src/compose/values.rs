//! Reads nodes into values.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use super::differs;
use super::docker_only::{self, Scope};
use super::nearest::nearest;
use super::node::{Key, Node, Value};
use super::reader::Reader;
use super::units;
use super::unsupported;

impl Reader<'_> {
    /// The entries of a mapping whose keys are all in `known` or in the tables of Docker's own and of what differs (`x-` keys are
    /// skipped). Nothing counts as an empty mapping.
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
            } else if let Some((differs, remedy)) =
                scope.and_then(|scope| differs::told(scope, &key.name))
            {
                self.warn(
                    key.at,
                    format!("{what} has `{}`, and {differs}", key.name),
                    remedy,
                );
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
}
