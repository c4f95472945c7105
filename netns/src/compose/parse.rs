//! From YAML text to a tree.
//!
//! serde-saphyr resolves anchors, aliases and merge keys and refuses duplicate keys; what is kept here is the text of each scalar
//! as it was written (a port of `0080` is not yet the number 80), because Compose substitutes variables before it looks at types.

use std::fmt;

use granit_parser::Event;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::diagnostic::Span;
use super::node::{Key, Node, Value};

/// Why a document is no tree.
pub(super) struct Malformed {
    pub(super) at: Span,
    pub(super) message: String,
}

/// Parses one document. `file` is its index among the sources.
pub(super) fn parse(file: u16, text: &str) -> Result<Node, Malformed> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        // No Compose file is half as deep, and each level costs stack.
        budget: serde_saphyr::budget! { max_depth: 24, max_total_scalar_bytes: 16 << 20 },
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Spanned<Raw<'_>>>(text, options) {
        Ok(raw) => match first_tag(file, text) {
            Some(tag) => Err(tag),
            None => Ok(settle(raw, file, text)),
        },
        Err(error) => {
            let location = error.location();
            let mut full = error.without_snippet().to_string();
            // The place is reported beside the message, and the parser's own options are no remedy for its reader.
            // Its limits are told apart by their own names, which mean nothing to a reader.
            if full.contains("budget") || full.contains("limit") || full.contains("nesting") {
                full = "the YAML is too deep or too large once its aliases are followed".to_owned();
            }
            let message = full
                .split(" at line ")
                .next()
                .and_then(|text| text.split(", set ").next())
                .unwrap_or(&full)
                .trim()
                .to_owned();
            Err(Malformed {
                at: location.map_or(
                    Span {
                        file,
                        line: 1,
                        column: 1,
                    },
                    |location| span(file, &location),
                ),
                message,
            })
        }
    }
}

/// The place of the first value that has a tag of an application's own. Compose's (`!override`, `!reset`) change how files are merged, and the deserializer drops
/// them without a word; those of YAML itself (`!!str`) are its own business.
fn first_tag(file: u16, text: &str) -> Option<Malformed> {
    let tagged = granit_parser::Parser::new_from_str(text)
        .map_while(Result::ok)
        .find_map(|(event, span)| match event {
            Event::Scalar(_, _, _, tag)
            | Event::SequenceStart(_, _, tag)
            | Event::MappingStart(_, _, tag) => tag
                .filter(|tag| tag.handle() == "!")
                .map(|tag| (tag.into_owned(), span.start)),
            _ => None,
        });
    let (tag, at) = tagged?;
    Some(Malformed {
        at: Span {
            file,
            line: u32::try_from(at.line()).unwrap_or(u32::MAX),
            column: u32::try_from(at.col() + 1).unwrap_or(u32::MAX),
        },
        message: format!(
            "the tag `!{}` is not supported: files are merged here without `!override` and `!reset`",
            tag.suffix()
        ),
    })
}

/// The tree as the deserializer hands it out: numbers are already numbers, their text is recovered from the source.
enum Raw<'a> {
    Null,
    Text(std::borrow::Cow<'a, str>),
    Typed(String),
    List(Vec<Spanned<Raw<'a>>>),
    Map(Vec<(Spanned<String>, Spanned<Raw<'a>>)>),
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Raw::Null)
    }
    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(Raw::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Raw::Typed(value.to_string()))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Raw::Typed(value.to_string()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Raw::Typed(value.to_string()))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Raw::Typed(value.to_string()))
    }
    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Raw::Text(value.to_owned().into()))
    }
    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Raw::Text(value.into()))
    }
    fn visit_string<E>(self, value: String) -> Result<Self::Value, E> {
        Ok(Raw::Text(value.into()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

impl<'de> Deserialize<'de> for Raw<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

fn settle(raw: Spanned<Raw<'_>>, file: u16, text: &str) -> Node {
    // Where a value is defined, not where an alias or a merge key brings it in: that is the text to be changed.
    let at = span(file, &raw.defined);
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Text(text) => Value::Scalar(text.into_owned()),
        Raw::Typed(shown) => Value::Scalar(written(&raw.defined, text).unwrap_or(shown)),
        Raw::List(items) => Value::List(
            items
                .into_iter()
                .map(|item| settle(item, file, text))
                .collect(),
        ),
        Raw::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| {
                    let key = Key {
                        at: span(file, &key.defined),
                        name: key.value,
                    };
                    (key, settle(value, file, text))
                })
                .collect(),
        ),
    };
    Node { at, value }
}

/// The characters of a plain scalar as they stand in the source.
fn written(location: &Location, text: &str) -> Option<String> {
    let span = location.span();
    let start = usize::try_from(span.byte_offset()?).ok()?;
    let length = usize::try_from(span.byte_len()?).ok()?;
    let slice = text.get(start..start.checked_add(length)?)?.trim();
    (!slice.is_empty()).then(|| slice.to_owned())
}

fn span(file: u16, location: &Location) -> Span {
    let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    Span {
        file,
        line: narrow(location.line()),
        column: narrow(location.column()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::node::tests::show;
    use super::*;

    #[test]
    fn keeps_places_and_the_text_of_numbers() {
        let node = parse(0, "a: 0.50\nb: [0x10, \"7\", no]\nc:\nd: 007\n")
            .ok()
            .unwrap();
        assert_eq!(
            show(&node),
            "{1:1 a: 1:4 0.50, 2:1 b: [2:5 0x10, 2:11 7, 2:16 no], 3:1 c: 3:2 ~, 4:1 d: 4:4 007}"
        );
    }

    #[test]
    fn places_follow_aliases_and_merge_keys_to_their_definition() {
        let node = parse(
            0,
            "base: &base\n  x: 1\n  y: 2\nuse:\n  <<: *base\n  y: 3\nlist: [*base]\n",
        )
        .ok()
        .unwrap();
        assert_eq!(
            show(&node),
            "{1:1 base: {2:3 x: 2:6 1, 3:3 y: 3:6 2}, 4:1 use: {6:3 y: 6:6 3, 2:3 x: 2:6 1}, 7:1 list: [{2:3 x: 2:6 1, 3:3 y: 3:6 2}]}"
        );
    }

    #[test]
    fn a_duplicate_key_and_a_broken_line_are_placed() {
        let twice = parse(0, "a: 1\nb: 2\na: 3\n").err().unwrap();
        assert_eq!((twice.at.line, twice.at.column), (3, 1));
        let broken = parse(0, "a: [1, 2\nb: 3\n").err().unwrap();
        assert!(broken.at.line >= 1, "{}", broken.message);
    }

    #[test]
    fn a_tag_of_composes_is_refused_and_one_of_yamls_is_not() {
        for text in [
            "a: !override [1]\n",
            "a:\n  b: !override\n    - 1\n",
            "a: 1\nb: !reset\n",
        ] {
            let refused = parse(0, text).err().unwrap();
            assert!(
                refused.message.contains("the tag `!"),
                "{}",
                refused.message
            );
        }
        let refused = parse(0, "a: 1\nb: !override [1]\n").err().unwrap();
        assert_eq!((refused.at.line, refused.at.column), (2, 14), "its value");
        assert!(parse(0, "a: !!str 1 # !override\nb: '!reset'\n").is_ok());
    }
}
