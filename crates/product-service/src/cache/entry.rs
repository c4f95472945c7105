//! How a cache entry is spelled in Redis: `<revision> <kind><etag>\n<body>`.
//!
//! The revision comes first, as decimal digits, because the Lua that decides whether an entry may be replaced reads
//! only that (see [`super::script`]). The body is stored as it is answered, so a hit costs no serialisation.

use bytes::Bytes;

/// Names the body's shape and rides in every entry: a replica of another release, or one with another currency,
/// treats the entry as missing instead of serving it.
pub(super) type Shape = str;

/// What is known about a key at a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A change with at least this revision was announced; nothing older may be served or stored.
    Changed,
    /// There is no such product.
    Absent,
    /// The answer, as it is sent.
    Answer {
        /// Entity tag without its quotes; empty for a list page.
        etag: String,
        /// JSON.
        body: Bytes,
    },
}

/// Spells an entry.
pub(super) fn encode(revision: i64, shape: &Shape, entry: &Entry) -> Vec<u8> {
    match entry {
        Entry::Changed => format!("{revision} !").into_bytes(),
        Entry::Absent => format!("{revision} 0{shape}").into_bytes(),
        Entry::Answer { etag, body } => {
            let mut text = format!("{revision} 1{shape} {etag}\n").into_bytes();
            text.extend_from_slice(body);
            text
        }
    }
}

/// Reads an entry; `None` for anything this release did not write, which is then a miss and gets overwritten.
pub(super) fn decode(shape: &Shape, text: &Bytes) -> Option<(i64, Entry)> {
    let space = text.iter().position(|&byte| byte == b' ')?;
    let revision = std::str::from_utf8(&text[..space])
        .ok()?
        .parse()
        .ok()
        .filter(|&r: &i64| r >= 0)?;
    let rest = text.slice(space + 1..);
    let entry = match rest.first()? {
        b'!' => Entry::Changed,
        b'0' if &rest[1..] == shape.as_bytes() => Entry::Absent,
        b'1' => {
            let line = rest.iter().position(|&byte| byte == b'\n')?;
            let head = std::str::from_utf8(&rest[1..line]).ok()?;
            let etag = head.strip_prefix(shape)?.strip_prefix(' ')?;
            Entry::Answer {
                etag: etag.to_owned(),
                body: rest.slice(line + 1..),
            }
        }
        _ => return None,
    };
    Some((revision, entry))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entries() -> impl Strategy<Value = Entry> {
        prop_oneof![
            Just(Entry::Changed),
            Just(Entry::Absent),
            ("[0-9]{0,9}(\\.[0-9]{1,9})?", any::<Vec<u8>>()).prop_map(|(etag, body)| {
                Entry::Answer {
                    etag,
                    body: body.into(),
                }
            }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes(revision in 0..i64::MAX, entry in entries()) {
            let text = Bytes::from(encode(revision, "1USD", &entry));
            prop_assert_eq!(decode("1USD", &text), Some((revision, entry)));
        }

        #[test]
        fn another_shape_is_never_served(revision in 0..i64::MAX, entry in entries()) {
            let text = Bytes::from(encode(revision, "1USD", &entry));
            let seen = decode("2EUR", &text);
            prop_assert!(seen.is_none() || matches!(seen, Some((_, Entry::Changed))));
        }

        #[test]
        fn any_bytes_are_answered(text in any::<Vec<u8>>()) {
            let _ = decode("1USD", &text.into());
        }
    }
}
