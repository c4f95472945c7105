//! A YAML document as a tree whose every key and value knows where it was written.

use super::diagnostic::Span;

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) at: Span,
    pub(super) value: Value,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping and its place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Key {
    pub(super) at: Span,
    pub(super) name: String,
}

impl Node {
    /// The value under `name` of a mapping.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(entries) => entries
                .iter()
                .find(|(key, _)| key.name == name)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// What the value is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Scalar(_) => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The tree as one line, with every place.
    pub(in crate::compose) fn show(node: &Node) -> String {
        match &node.value {
            Value::Null => format!("{}:{} ~", node.at.line, node.at.column),
            Value::Scalar(text) => format!("{}:{} {text}", node.at.line, node.at.column),
            Value::List(items) => format!(
                "[{}]",
                items.iter().map(show).collect::<Vec<_>>().join(", ")
            ),
            Value::Map(entries) => {
                let entries = entries.iter().map(|(key, value)| {
                    format!(
                        "{}:{} {}: {}",
                        key.at.line,
                        key.at.column,
                        key.name,
                        show(value)
                    )
                });
                format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
            }
        }
    }
}
