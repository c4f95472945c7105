//! The order as it is stored and shown, and the arithmetic of its total.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

/// Where an order stands. `Pending` is undecided; the other two are decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Accepted, stock not yet known to be held.
    Pending,
    /// Stock is held and the price is fixed.
    Confirmed,
    /// Not going to happen; whatever stock was held is returned.
    Cancelled,
}

impl Status {
    /// The text stored in the `status` column.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the `status` column; `None` for a text that no version of this service writes.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Pending, Self::Confirmed, Self::Cancelled]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// One line of an order. Name and price are unknown (`null`) until product-service has answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The product's id in the catalogue.
    pub product_id: String,
    /// The product's name when the order was decided.
    pub name: Option<String>,
    /// The price of one, in minor units, as product-service stated it.
    pub unit_price_cents: Option<i64>,
    /// How many, 1-999.
    pub quantity: u32,
}

/// An order as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// UUIDv7 with a random tail: whoever knows it may read the order.
    pub id: Uuid,
    /// Who placed it, as the caller said.
    pub customer_id: String,
    /// Where it stands.
    pub status: Status,
    /// Its lines, in the order they were asked for.
    pub items: Vec<Item>,
    /// Sum over the lines in minor units; `null` until product-service has answered.
    pub total_cents: Option<i64>,
    /// ISO 4217 code of the prices; `null` until product-service has answered.
    pub currency: Option<String>,
    /// When it was accepted.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// What product-service answers to a reservation that holds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Receipt {
    /// The reserved lines with the prices they were reserved at.
    pub items: Vec<ReceiptItem>,
    /// ISO 4217 code of the prices.
    pub currency: String,
}

/// One reserved line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ReceiptItem {
    /// The product's id.
    pub product_id: String,
    /// The product's name.
    pub name: String,
    /// The price of one, in minor units.
    pub unit_price_cents: i64,
    /// How many are held.
    pub quantity: u32,
}

/// A line that could not be served from stock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortage {
    /// The product's id.
    pub product_id: String,
    /// How many were asked for.
    pub requested: i64,
    /// How many there are.
    pub available: i64,
}

/// Why a receipt gives no priced order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The sum does not fit 64 bits of minor units.
    #[error("the order's total is too large")]
    TooLarge,
    /// The receipt is for other lines, or states a negative price: not an answer to this order.
    #[error("the reservation's answer does not match the order")]
    Mismatch,
}

/// The order's lines with the receipt's names and prices, in the order's own sequence, and their total in minor units.
///
/// # Errors
/// [`MoneyError::Mismatch`] when the receipt is not about exactly these lines, [`MoneyError::TooLarge`] on overflow.
pub fn priced(items: &[Item], receipt: &Receipt) -> Result<(Vec<Item>, i64), MoneyError> {
    if items.len() != receipt.items.len() {
        return Err(MoneyError::Mismatch);
    }
    let mut total = 0_i64;
    let mut lines = Vec::with_capacity(items.len());
    for item in items {
        let held = receipt
            .items
            .iter()
            .find(|held| held.product_id == item.product_id && held.quantity == item.quantity)
            .filter(|held| held.unit_price_cents >= 0)
            .ok_or(MoneyError::Mismatch)?;
        total = held
            .unit_price_cents
            .checked_mul(i64::from(item.quantity))
            .and_then(|line| total.checked_add(line))
            .ok_or(MoneyError::TooLarge)?;
        lines.push(Item {
            name: Some(held.name.clone()),
            unit_price_cents: Some(held.unit_price_cents),
            ..item.clone()
        });
    }
    Ok((lines, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(product_id: &str, quantity: u32) -> Item {
        Item {
            product_id: product_id.into(),
            name: None,
            unit_price_cents: None,
            quantity,
        }
    }

    fn receipt(lines: &[(&str, i64, u32)]) -> Receipt {
        let items = lines
            .iter()
            .map(|&(id, unit_price_cents, quantity)| ReceiptItem {
                product_id: id.into(),
                name: id.to_uppercase(),
                unit_price_cents,
                quantity,
            })
            .collect();
        Receipt {
            items,
            currency: "EUR".into(),
        }
    }

    #[test]
    fn the_total_is_the_sum_of_server_side_prices_in_the_order_s_own_sequence() {
        let (lines, total) = priced(
            &[item("b", 2), item("a", 1)],
            &receipt(&[("a", 99_999, 1), ("b", 2_999, 2)]),
        )
        .unwrap();
        assert_eq!(total, 105_997);
        assert_eq!(lines[0].product_id, "b");
        assert_eq!(lines[0].name.as_deref(), Some("B"));
    }

    #[test]
    fn an_overflowing_total_is_an_error_not_a_wrapped_number() {
        let huge = receipt(&[("a", i64::MAX / 2, 2), ("b", 2, 1)]);
        assert_eq!(
            priced(&[item("a", 2), item("b", 1)], &huge),
            Err(MoneyError::TooLarge)
        );
    }

    #[test]
    fn a_receipt_for_other_lines_is_no_receipt() {
        for wrong in [
            receipt(&[("a", 1, 2)]),
            receipt(&[("b", 1, 1)]),
            receipt(&[]),
            receipt(&[("a", -1, 1)]),
        ] {
            assert_eq!(priced(&[item("a", 1)], &wrong), Err(MoneyError::Mismatch));
        }
    }
}
