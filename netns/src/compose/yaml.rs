//! The project as understood, as YAML: what `config` prints.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

/// Writes any serialisable value as block-style YAML, leaving out what is absent or empty.
///
/// # Errors
/// When the value has no JSON form (a mapping whose keys are no text).
pub fn to_yaml<T: Serialize>(value: &T) -> Result<String, serde_json::Error> {
    let mut value = serde_json::to_value(value)?;
    prune(&mut value);
    Ok(document(&value))
}

/// A tree as block-style YAML, whole.
pub(super) fn document(value: &Value) -> String {
    let mut text = String::new();
    block(&mut text, value, 0);
    text
}

/// Takes away what is absent or empty, in mappings.
fn prune(value: &mut Value) {
    match value {
        Value::Object(entries) => {
            entries.values_mut().for_each(prune);
            entries.retain(|_, value| !is_empty(value));
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        _ => false,
    }
}

/// `value` as lines indented by `depth` steps, each with its line end.
fn block(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                let _ = write!(text, "{:width$}{}:", "", scalar(key), width = depth * 2);
                nested(text, value, depth + 1);
            }
        }
        Value::Array(items) => {
            for item in items {
                let mut inner = String::new();
                match item {
                    Value::Object(_) | Value::Array(_) if !is_empty(item) => {
                        block(&mut inner, item, depth + 1);
                    }
                    _ => nested(&mut inner, item, depth + 1),
                }
                let _ = write!(
                    text,
                    "{:width$}- {}",
                    "",
                    inner.trim_start(),
                    width = depth * 2
                );
            }
        }
        _ => nested(text, value, depth),
    }
}

/// What follows a key: a value on the same line, or a block below.
fn nested(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(_) | Value::Array(_) if !is_empty(value) => {
            text.push('\n');
            block(text, value, depth);
        }
        Value::Object(_) => text.push_str(" {}\n"),
        Value::Array(_) => text.push_str(" []\n"),
        Value::String(string) => {
            let _ = writeln!(text, " {}", scalar(string));
        }
        other => {
            let _ = writeln!(text, " {other}");
        }
    }
}

/// A text, quoted whenever it would otherwise not be read back as that text. JSON's quoting is YAML's.
pub(super) fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && !text.ends_with([':', ' '])
        && !text.contains(": ")
        && !text.contains(" #")
        && text.chars().all(|c| {
            !c.is_control()
                && !matches!(
                    c,
                    '{' | '}'
                        | '['
                        | ']'
                        | ','
                        | '"'
                        | '\''
                        | '\u{2028}'
                        | '\u{2029}'
                        | '\u{feff}'
                        | '\u{fffe}'
                        | '\u{ffff}'
                )
        })
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n"
        );
    if plain || measure(text) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// Whether it is a duration, an address or the like: it starts with a digit, and nobody takes it for a number.
fn measure(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '/'))
        && (text.ends_with(['s', 'm', 'k']) || text.matches('.').count() > 1)
}

/// In double quotes (YAML 1.2.2, 7.3.1), what does not print escaped.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c if c.is_control() => {
                let _ = write!(out, "\\x{:02X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::{node, parse};
    use proptest::prelude::*;

    #[test]
    fn reads_like_a_compose_file() {
        let value = serde_json::json!({"services": {"a": {"argv": ["sh", "-c", "x: y"], "none": null, "ports": [{"host": 80, "target": 1}], "empty": []}}});
        assert_eq!(
            to_yaml(&value).unwrap(),
            "services:\n  a:\n    argv:\n      - sh\n      - \"-c\"\n      - \"x: y\"\n    ports:\n      - host: 80\n        target: 1\n"
        );
    }

    proptest! {
        #[test]
        fn text_comes_back_as_it_was(text in any::<String>()) {
            let yaml = to_yaml(&serde_json::json!({"k": text})).unwrap();
            let node = parse::parse(0, &yaml).ok().unwrap();
            prop_assert_eq!(&node.get("k").unwrap().value, &node::Value::Scalar(text));
        }
    }
}
