//! Where a list goes on. Opaque to clients, and good only for the query that it came from.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use common::problem::{Problem, Slug};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::store::Owner;

const TAG: usize = 8;

/// The cursor after the order `last` in a list of `owner`'s orders.
pub(super) fn encode(owner: &Owner, last: Uuid) -> String {
    let mut bytes = last.as_bytes().to_vec();
    bytes.extend_from_slice(&tag(owner));
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The order after which the list goes on.
///
/// # Errors
/// 400 for anything that [`encode`] did not make for this owner.
pub(super) fn decode(owner: &Owner, cursor: &str) -> Result<Uuid, Problem> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).unwrap_or_default();
    match bytes.split_first_chunk::<16>() {
        Some((id, rest)) if rest == tag(owner) => Ok(Uuid::from_bytes(*id)),
        _ => Err(Problem::new(Slug::Malformed).field("/cursor", "is not a cursor of this list")),
    }
}

/// Binds a cursor to its query. It protects from mistakes, not from forgery: what a list may show is decided per request.
fn tag(owner: &Owner) -> [u8; TAG] {
    let hash = match owner {
        Owner::Session(session) => Sha256::new_with_prefix(b"session\0").chain_update(session),
        Owner::Customer(customer) => Sha256::new_with_prefix(b"customer\0").chain_update(customer),
    };
    let mut tag = [0; TAG];
    tag.copy_from_slice(&hash.finalize()[..TAG]);
    tag
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_is_good_for_its_own_query_only(id in any::<u128>(), noise in ".{0,60}") {
            let (ada, bob) = (Owner::Customer("ada".into()), Owner::Customer("bob".into()));
            let id = Uuid::from_u128(id);
            let cursor = encode(&ada, id);
            prop_assert_eq!(decode(&ada, &cursor).unwrap(), id);
            prop_assert_eq!(decode(&bob, &cursor).unwrap_err().status().as_u16(), 400);
            prop_assert_eq!(decode(&Owner::Session([0; 32]), &cursor).unwrap_err().status().as_u16(), 400);
            prop_assert!(noise == cursor || decode(&ada, &noise).is_err());
        }
    }
}
