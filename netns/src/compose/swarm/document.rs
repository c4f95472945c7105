//! The generated file as a tree with comments, and how it is written.

use std::fmt::Write as _;

use super::super::node::{Node, Value};
use super::super::yaml;

/// Columns that a list or mapping on one line may fill.
const WIDTH: usize = 100;

/// Keys whose values are numbers or truth values to Docker; every other value is text, and quoted when it looks like anything else.
const TYPED: &[&str] = &[
    "attachable",
    "disable",
    "init",
    "internal",
    "max_attempts",
    "max_failure_ratio",
    "max_replicas_per_node",
    "mode",
    "parallelism",
    "pids",
    "published",
    "read_only",
    "replicas",
    "retries",
    "size",
    "stdin_open",
    "target",
    "tty",
];

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    Null,
    /// A text, quoted where YAML would take it for something else.
    Text(String),
    /// A number or truth value, written as it is.
    Plain(String),
    List(Vec<Self>),
    Map(Vec<Entry>),
}

/// A key of a mapping, its value, and the comments above it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) comments: Vec<String>,
    pub(super) key: String,
    pub(super) value: Item,
}

impl Item {
    /// A text.
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A number or truth value.
    pub(super) fn plain<T: ToString + ?Sized>(value: &T) -> Self {
        Self::Plain(value.to_string())
    }

    /// What stands in the source under `key`, as it stands there: variables stay variables.
    pub(super) fn carried(key: &str, node: &Node) -> Self {
        match &node.value {
            Value::Null => Self::Null,
            Value::Scalar(text) if TYPED.contains(&key) && is_typed(text) => {
                Self::Plain(text.clone())
            }
            Value::Scalar(text) => Self::Text(text.clone()),
            Value::List(items) => {
                Self::List(items.iter().map(|item| Self::carried("", item)).collect())
            }
            Value::Map(entries) => Self::Map(
                entries
                    .iter()
                    .filter(|(key, _)| !key.name.starts_with("x-"))
                    .map(|(key, value)| entry(&key.name, Self::carried(&key.name, value)))
                    .collect(),
            ),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::List(items) => items.is_empty(),
            Self::Map(entries) => entries.is_empty(),
            Self::Text(_) | Self::Plain(_) => false,
        }
    }
}

/// A key and its value.
pub(super) fn entry(key: &str, value: Item) -> Entry {
    Entry {
        comments: Vec::new(),
        key: key.to_owned(),
        value,
    }
}

/// Adds a key unless its value is empty.
pub(super) fn push(entries: &mut Vec<Entry>, key: &str, value: Item) {
    if !value.is_empty() {
        entries.push(entry(key, value));
    }
}

fn is_typed(text: &str) -> bool {
    matches!(text, "true" | "false") || text.parse::<f64>().is_ok()
}

/// Writes the entries of a file: top-level keys apart by a blank line, services too.
pub(super) fn write(entries: &[Entry]) -> String {
    let mut text = String::new();
    for entry in entries {
        if !text.is_empty() {
            text.push('\n');
        }
        match &entry.value {
            Item::Map(services) if entry.key == "services" => {
                text.push_str("services:\n");
                for (index, service) in services.iter().enumerate() {
                    if index > 0 {
                        text.push('\n');
                    }
                    line(&mut text, service, 1);
                }
            }
            _ => line(&mut text, entry, 0),
        }
    }
    text
}

/// One entry with what is below it.
fn line(text: &mut String, entry: &Entry, depth: usize) {
    let indent = depth * 2;
    for comment in &entry.comments {
        let _ = writeln!(text, "{:indent$}# {comment}", "");
    }
    let _ = write!(text, "{:indent$}{}:", "", scalar(&entry.key));
    // What has a comment inside needs lines of its own; so do the mappings near the top, which are what one looks for.
    let short = match &entry.value {
        Item::Map(entries) if depth < 3 && !entries.is_empty() => None,
        value => flow(value),
    };
    let fits = |short: &String| indent + entry.key.len() + short.len() + 2 <= WIDTH;
    let is_scalar = !matches!(entry.value, Item::List(_) | Item::Map(_));
    match short.filter(|short| is_scalar || fits(short)) {
        Some(short) if short.is_empty() => text.push('\n'),
        Some(short) => {
            let _ = writeln!(text, " {short}");
        }
        None => {
            text.push('\n');
            block(text, &entry.value, depth + 1);
        }
    }
}

/// A list or mapping, an item a line.
fn block(text: &mut String, value: &Item, depth: usize) {
    match value {
        Item::Map(entries) => {
            for entry in entries {
                line(text, entry, depth);
            }
        }
        Item::List(items) => {
            for item in items {
                let mut inner = String::new();
                match (
                    item,
                    flow(item).filter(|short| depth * 2 + short.len() + 2 <= WIDTH),
                ) {
                    (_, Some(short)) => inner = short + "\n",
                    (Item::Map(_) | Item::List(_), None) => block(&mut inner, item, depth + 1),
                    (item, None) => inner = flow(item).unwrap_or_default() + "\n",
                }
                let _ = write!(text, "{:1$}- {2}", "", depth * 2, inner.trim_start());
            }
        }
        value => {
            let _ = writeln!(text, "{}", flow(value).unwrap_or_default());
        }
    }
}

/// The value on one line; none when it has a comment, or holds mappings in a list.
fn flow(value: &Item) -> Option<String> {
    Some(match value {
        Item::Null => String::new(),
        Item::Plain(text) => text.clone(),
        Item::Text(text) => scalar(text),
        Item::List(items) => {
            if items.iter().any(|item| matches!(item, Item::Map(_))) {
                return None;
            }
            let items: Option<Vec<String>> = items.iter().map(flow).collect();
            format!("[{}]", items?.join(", "))
        }
        Item::Map(entries) if entries.is_empty() => "{}".to_owned(),
        Item::Map(entries) => {
            let entries: Option<Vec<String>> = entries
                .iter()
                .map(|entry| {
                    if !entry.comments.is_empty() {
                        return None;
                    }
                    Some(format!("{}: {}", scalar(&entry.key), flow(&entry.value)?))
                })
                .collect();
            format!("{{ {} }}", entries?.join(", "))
        }
    })
}

/// Text as YAML reads it back. Durations, sizes, paths and options of a command need no quotes although they do not start with a letter.
fn scalar(text: &str) -> String {
    let digits = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let is_measure = digits.len() < text.len()
        && matches!(digits, "us" | "ms" | "s" | "m" | "h" | "k" | "M" | "G");
    let option = text.trim_start_matches('-');
    let is_option = (1..=2).contains(&(text.len() - option.len()))
        && option.starts_with(|c: char| c.is_ascii_alphabetic())
        && option
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-');
    let is_path = text
        .strip_prefix("./")
        .is_some_and(|rest| yaml::scalar(rest) == rest);
    if is_measure || is_option || is_path {
        text.to_owned()
    } else {
        yaml::scalar(text)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::parse;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn is_read_back_as_it_was_meant() {
        let entries = vec![
            entry("version", Item::text("3.8")),
            entry(
                "services",
                Item::Map(vec![Entry {
                    comments: vec!["why".into()],
                    key: "a".into(),
                    value: Item::Map(vec![
                        entry("user", Item::text("65532")),
                        entry("read_only", Item::plain(&true)),
                        entry(
                            "command",
                            Item::List(["x", "-v", "10m", "1.5"].map(Item::text).into()),
                        ),
                        entry(
                            "environment",
                            Item::Map(vec![
                                entry("PASSED", Item::Null),
                                entry("T", Item::text("${T:-true}")),
                            ]),
                        ),
                    ]),
                }]),
            ),
        ];
        assert_eq!(
            write(&entries),
            "version: \"3.8\"\n\nservices:\n  # why\n  a:\n    user: \"65532\"\n    read_only: true\n    command: [x, -v, 10m, \"1.5\"]\n    environment:\n      PASSED:\n      T: \"${T:-true}\"\n"
        );
    }

    proptest! {
        #[test]
        fn text_comes_back_as_it_was(text in "\\PC*", inline in "(-{0,3}|[.]/)[0-9a-zA-Z:,.-]{0,6}") {
            let list = Item::List(vec![Item::text(inline.clone()), Item::text(text.clone())]);
            let node = parse::parse(0, &write(&[entry("k", list)])).ok().unwrap();
            let Value::List(items) = &node.get("k").unwrap().value else { panic!("{node:?}") };
            prop_assert_eq!(&items[0].value, &Value::Scalar(inline));
            prop_assert_eq!(&items[1].value, &Value::Scalar(text));
        }
    }
}
