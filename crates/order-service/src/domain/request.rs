//! Requests, checked once at the edge: everything past this point may rely on the bounds.
//!
//! Every fault is reported, each with the JSON pointer of its field, so that a client can mend a body in one go.

use std::collections::HashMap;

use common::problem::{FieldError, objects};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::Item;

/// Most distinct products in one order or cart.
pub const MAX_ITEMS: usize = 100;
/// Most of one product in an order.
const MAX_QUANTITY: i64 = 999;
/// Most of one product in a cart.
pub const MAX_CART_QUANTITY: i64 = 99;
/// Longest customer id, in bytes.
const CUSTOMER_ID_MAX: usize = 64;
/// Longest product id, in bytes.
const PRODUCT_ID_MAX: usize = 64;

fn wrong(pointer: impl Into<String>, detail: impl Into<String>) -> FieldError {
    FieldError {
        pointer: pointer.into(),
        detail: detail.into(),
    }
}

/// The body of `POST /orders`, types checked, values not yet.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderBody {
    /// Who orders.
    pub customer_id: String,
    /// What.
    #[serde(deserialize_with = "objects")]
    pub items: Vec<ItemBody>,
}

/// One line of [`OrderBody`].
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemBody {
    /// A product's id.
    pub product_id: String,
    /// How many.
    pub quantity: i64,
}

/// An order that may be placed: every bound holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Who orders.
    pub customer_id: String,
    /// 1-100 distinct products, each 1-999 times, not yet priced.
    pub items: Vec<Item>,
}

impl TryFrom<OrderBody> for Placement {
    type Error = Vec<FieldError>;

    fn try_from(body: OrderBody) -> Result<Self, Self::Error> {
        let mut errors = Vec::new();
        errors.extend(
            check_customer_id(&body.customer_id)
                .err()
                .map(|detail| wrong("/customer_id", detail)),
        );
        if body.items.is_empty() || body.items.len() > MAX_ITEMS {
            errors.push(wrong(
                "/items",
                format!("must hold 1 to {MAX_ITEMS} products"),
            ));
            return Err(errors);
        }
        let mut first_at = HashMap::new();
        let mut items = Vec::with_capacity(body.items.len());
        for (index, line) in body.items.into_iter().enumerate() {
            let pointer = format!("/items/{index}/product_id");
            if let Err(detail) = check_product_id(&line.product_id) {
                errors.push(wrong(pointer, detail));
            } else if let Some(first) = first_at.insert(line.product_id.clone(), index) {
                errors.push(wrong(
                    pointer,
                    format!("names the same product as /items/{first}"),
                ));
            }
            match u32::try_from(line.quantity)
                .ok()
                .filter(|_| (1..=MAX_QUANTITY).contains(&line.quantity))
            {
                Some(quantity) => {
                    items.push(Item {
                        product_id: line.product_id,
                        name: None,
                        unit_price_cents: None,
                        quantity,
                    });
                }
                None => errors.push(wrong(
                    format!("/items/{index}/quantity"),
                    format!("must be 1 to {MAX_QUANTITY}"),
                )),
            }
        }
        if errors.is_empty() {
            Ok(Self {
                customer_id: body.customer_id,
                items,
            })
        } else {
            Err(errors)
        }
    }
}

impl Placement {
    /// SHA-256 over the request's meaning: equal for bodies that differ only in spelling (white space, field order).
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"order\0");
        hash.update(self.customer_id.as_bytes());
        for item in &self.items {
            hash.update([0]);
            hash.update(item.product_id.as_bytes());
            hash.update([0]);
            hash.update(item.quantity.to_be_bytes());
        }
        hash.finalize().into()
    }
}

/// Checks a customer id: 1-64 ASCII letters, digits and `. _ - @ : +`.
///
/// # Errors
/// What is wrong, for a person.
pub fn check_customer_id(text: &str) -> Result<(), String> {
    check_id(text, CUSTOMER_ID_MAX, "._-@:+")
}

/// Checks a product id: 1-64 ASCII letters, digits and `. _ -`. A dot segment is none, since ids stand in paths.
///
/// # Errors
/// What is wrong, for a person.
pub fn check_product_id(text: &str) -> Result<(), String> {
    if matches!(text, "." | "..") {
        return Err("must not be a dot segment".into());
    }
    check_id(text, PRODUCT_ID_MAX, "._-")
}

fn check_id(text: &str, max: usize, marks: &str) -> Result<(), String> {
    let plain = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || marks.contains(c));
    if plain && (1..=max).contains(&text.len()) {
        return Ok(());
    }
    let marks = marks
        .chars()
        .map(String::from)
        .collect::<Vec<_>>()
        .join(" ");
    Err(format!(
        "must be 1 to {max} ASCII letters, digits and {marks}"
    ))
}

/// A caller's `Idempotency-Key`: 1-128 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

/// The header is missing, repeated, or not 1-128 visible ASCII characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the Idempotency-Key header must be given once, as 1 to 128 visible ASCII characters")]
pub struct InvalidIdempotencyKey;

impl IdempotencyKey {
    /// Reads the header's value.
    ///
    /// # Errors
    /// [`InvalidIdempotencyKey`] unless it is 1-128 visible ASCII characters (0x21-0x7e).
    pub fn parse(value: &[u8]) -> Result<Self, InvalidIdempotencyKey> {
        if !(1..=128).contains(&value.len()) || !value.iter().all(u8::is_ascii_graphic) {
            return Err(InvalidIdempotencyKey);
        }
        Ok(Self(value.iter().map(|&byte| char::from(byte)).collect()))
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn body(customer_id: &str, items: &[(&str, i64)]) -> OrderBody {
        let items = items
            .iter()
            .map(|&(id, quantity)| ItemBody {
                product_id: id.into(),
                quantity,
            })
            .collect();
        OrderBody {
            customer_id: customer_id.into(),
            items,
        }
    }

    fn pointers(body: OrderBody) -> Vec<String> {
        Placement::try_from(body)
            .unwrap_err()
            .into_iter()
            .map(|error| error.pointer)
            .collect()
    }

    #[test]
    fn every_fault_is_named_by_its_pointer() {
        let long = "x".repeat(65);
        assert_eq!(
            pointers(body(
                &long,
                &[("1", 0), ("", 1), ("1", 5), ("2", 1000), ("3", i64::MIN)]
            )),
            [
                "/customer_id",
                "/items/0/quantity",
                "/items/1/product_id",
                "/items/2/product_id",
                "/items/3/quantity",
                "/items/4/quantity"
            ]
        );
        assert_eq!(pointers(body("nul\0", &[])), ["/customer_id", "/items"]);
        let many: Vec<_> = (0..101).map(|n| n.to_string()).collect();
        assert_eq!(
            pointers(body(
                "c",
                &many.iter().map(|id| (id.as_str(), 1)).collect::<Vec<_>>()
            )),
            ["/items"]
        );
    }

    #[test]
    fn the_fingerprint_tells_apart_what_differs() {
        let print = |customer, items: &[(&str, i64)]| {
            Placement::try_from(body(customer, items))
                .unwrap()
                .fingerprint()
        };
        assert_eq!(print("a", &[("1", 2)]), print("a", &[("1", 2)]));
        for other in [
            print("b", &[("1", 2)]),
            print("a", &[("1", 3)]),
            print("a", &[("12", 2)]),
            print("a", &[("1", 2), ("2", 1)]),
        ] {
            assert_ne!(print("a", &[("1", 2)]), other);
        }
    }

    proptest! {
        #[test]
        fn what_passes_is_within_bounds(customer in ".{0,70}", lines in prop::collection::vec(("[a-c\0é]{0,2}", -5_i64..1005), 0..8)) {
            let lines: Vec<_> = lines.iter().map(|(id, quantity)| (id.as_str(), *quantity)).collect();
            if let Ok(placement) = Placement::try_from(body(&customer, &lines)) {
                prop_assert!((1..=64).contains(&placement.customer_id.len()) && placement.customer_id.is_ascii());
                prop_assert!((1..=100).contains(&placement.items.len()));
                let mut ids: Vec<_> = placement.items.iter().map(|item| item.product_id.as_str()).collect();
                prop_assert!(ids.iter().all(|id| !id.is_empty() && id.is_ascii() && !id.contains('\0')));
                ids.sort_unstable();
                ids.dedup();
                prop_assert_eq!(ids.len(), placement.items.len());
                prop_assert!(placement.items.iter().all(|item| (1..=999).contains(&item.quantity)));
            }
        }

        #[test]
        fn an_idempotency_key_is_1_to_128_visible_ascii(value in prop::collection::vec(any::<u8>(), 0..140)) {
            let fits = (1..=128).contains(&value.len()) && value.iter().all(|byte| (0x21..=0x7e).contains(byte));
            prop_assert_eq!(IdempotencyKey::parse(&value).is_ok(), fits);
        }
    }
}
