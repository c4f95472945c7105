//! The opaque page cursor: where a page ended, bound to the question it belongs to.
//!
//! Layout before base64url: one format byte, 8 bytes of the question's fingerprint, the last id, 6 bytes of checksum.
//! The checksum catches what was cut or mistyped; it is no signature, and none is needed: nothing in a cursor is secret,
//! and a forged one can only name another place to start from.

use crate::domain::ProductId;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

const FORMAT: u8 = 1;
const HEADER: usize = 9;
const CHECKSUM: usize = 6;
/// Longest text that can be a cursor; longer input is not even decoded.
const MAX_TEXT: usize = 128;

/// Why a cursor was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadCursor {
    /// Not something this service handed out.
    Malformed,
    /// Handed out for another question.
    OtherQuery,
}

impl BadCursor {
    /// In words for the person who sent it.
    pub fn detail(self) -> &'static str {
        match self {
            Self::Malformed => "is not a cursor of this service",
            Self::OtherQuery => "belongs to another query",
        }
    }
}

/// Spells the cursor of the page that ended with `last`.
pub fn encode(fingerprint: [u8; 8], last: &str) -> String {
    let mut raw = Vec::with_capacity(HEADER + last.len() + CHECKSUM);
    raw.push(FORMAT);
    raw.extend_from_slice(&fingerprint);
    raw.extend_from_slice(last.as_bytes());
    let sum = checksum(&raw);
    raw.extend_from_slice(&sum);
    URL_SAFE_NO_PAD.encode(raw)
}

/// Reads where the page before ended.
///
/// # Errors
/// The text is no cursor, or one of another question.
pub fn decode(fingerprint: [u8; 8], text: &str) -> Result<ProductId, BadCursor> {
    if text.len() > MAX_TEXT {
        return Err(BadCursor::Malformed);
    }
    let raw = URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| BadCursor::Malformed)?;
    let (content, sum) = raw
        .split_last_chunk::<CHECKSUM>()
        .ok_or(BadCursor::Malformed)?;
    let (header, last) = content
        .split_at_checked(HEADER)
        .ok_or(BadCursor::Malformed)?;
    if *sum != checksum(content) || header[0] != FORMAT {
        return Err(BadCursor::Malformed);
    }
    let last = String::from_utf8(last.to_vec()).map_err(|_| BadCursor::Malformed)?;
    let last = ProductId::try_from(last).map_err(|_| BadCursor::Malformed)?;
    if header[1..] != fingerprint {
        return Err(BadCursor::OtherQuery);
    }
    Ok(last)
}

fn checksum(content: &[u8]) -> [u8; CHECKSUM] {
    let digest = Sha256::digest(content);
    std::array::from_fn(|at| digest[at])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What ids look like, dot segments left out.
    const ID: &str = "[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,63}";

    proptest! {
        #[test]
        fn what_is_encoded_decodes_for_its_own_question_only(
            id in ID, own in any::<[u8; 8]>(), other in any::<[u8; 8]>()
        ) {
            let text = encode(own, &id);
            prop_assert_eq!(decode(own, &text).unwrap().into_string(), id);
            if other != own {
                prop_assert_eq!(decode(other, &text), Err(BadCursor::OtherQuery));
            }
        }

        #[test]
        fn an_altered_character_is_noticed(id in ID, at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_-]") {
            let text = encode([7; 8], &id);
            let at = at.index(text.len());
            let altered = format!("{}{to}{}", &text[..at], &text[at + 1..]);
            prop_assert_eq!(decode([7; 8], &altered).is_ok(), altered == text);
            prop_assert_eq!(decode([7; 8], &text[..at]), Err(BadCursor::Malformed));
        }

        #[test]
        fn any_text_is_answered(text in ".{0,200}") {
            let _ = decode([0; 8], &text);
        }
    }

    #[test]
    fn garbage_is_malformed() {
        for text in [
            "",
            "AQ",
            "!!!!",
            "AAAAAAAAAAAAAAAAAAAAAAAA",
            &"A".repeat(5000),
        ] {
            assert_eq!(decode([0; 8], text), Err(BadCursor::Malformed), "{text}");
        }
    }
}
