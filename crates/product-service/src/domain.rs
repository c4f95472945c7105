//! Values parsed once at the edge: whatever holds one of these is inside its bounds, and SQL can take it as it is.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest id, in bytes.
pub const MAX_ID: usize = 64;
/// Longest product name, in characters.
pub const MAX_NAME: usize = 200;
/// Longest description, in characters.
pub const MAX_DESCRIPTION: usize = 2_000;
/// Longest category, in characters.
pub const MAX_CATEGORY: usize = 64;
/// Highest price, in minor units. With 100 lines of 999 pieces an order's total still fits what JSON numbers hold exactly.
pub const MAX_PRICE: i64 = 100_000_000;
/// Most pieces of one product.
pub const MAX_STOCK: i64 = 1_000_000_000;
/// Largest single stock movement, either way.
pub const MAX_DELTA: i64 = 1_000_000;
/// Most pieces of one product in a reservation.
pub const MAX_QUANTITY: i64 = 999;

/// Why a value was refused, in words for the person who sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A short readable id: 1-64 of ASCII letters, digits, `-`, `_` and `.`. Names products and stock movements.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct ShortId(String);

/// Names a product.
pub type ProductId = ShortId;

impl ShortId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as owned text, for SQL array parameters.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl TryFrom<String> for ShortId {
    type Error = Refused;

    fn try_from(text: String) -> Result<Self, Refused> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if text.is_empty() || text.len() > MAX_ID {
            return Err(Refused(format!("must be 1 to {MAX_ID} characters long")));
        }
        if !text.bytes().all(plain) {
            return Err(Refused(
                "may hold ASCII letters, digits, '-', '_' and '.' only".into(),
            ));
        }
        if matches!(text.as_str(), "." | "..") {
            return Err(Refused(
                "must not be a dot segment: ids stand in paths".into(),
            ));
        }
        Ok(Self(text))
    }
}

impl fmt::Display for ShortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks text of `1..=max` characters (or `0..=max`): PostgreSQL's text holds no NUL, and other control characters but
/// line breaks and tabs have no business in a catalogue.
fn text(value: String, max: usize, may_be_empty: bool) -> Result<String, Refused> {
    if value
        .chars()
        .any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
    {
        return Err(Refused("must not hold control characters".into()));
    }
    if !may_be_empty && value.trim().is_empty() {
        return Err(Refused("must not be blank".into()));
    }
    if value.chars().count() > max {
        return Err(Refused(format!("must be at most {max} characters long")));
    }
    Ok(value)
}

/// Defines a checked text type.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $max:expr, $may_be_empty:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Refused;

            fn try_from(value: String) -> Result<Self, Refused> {
                text(value, $max, $may_be_empty).map(Self)
            }
        }
    };
}

checked_text!(
    /// A product's name: 1-200 characters, not blank.
    Name, MAX_NAME, false
);
checked_text!(
    /// A product's description: up to 2000 characters.
    Description, MAX_DESCRIPTION, true
);
checked_text!(
    /// A category: 1-64 characters, not blank, compared bytewise.
    Category, MAX_CATEGORY, false
);

/// Defines a whole number within bounds.
macro_rules! bounded {
    ($(#[$doc:meta])* $name:ident, $min:expr, $max:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "i64")]
        pub struct $name(i64);

        impl $name {
            /// The number.
            pub fn get(self) -> i64 {
                self.0
            }
        }

        impl TryFrom<i64> for $name {
            type Error = Refused;

            fn try_from(value: i64) -> Result<Self, Refused> {
                if ($min..=$max).contains(&value) {
                    Ok(Self(value))
                } else {
                    Err(Refused(format!("must be {} to {}", $min, $max)))
                }
            }
        }
    };
}

bounded!(
    /// A price in minor units of the deployment's currency.
    Cents, 0, MAX_PRICE
);
bounded!(
    /// Pieces in stock.
    Stock, 0, MAX_STOCK
);
bounded!(
    /// Pieces of one product in a reservation.
    Quantity, 1, MAX_QUANTITY
);
bounded!(
    /// The version an editor holds.
    Version, 1, i64::MAX
);

/// A change of stock by hand. Zero is refused: it would say nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i64")]
pub struct Delta(i64);

impl Delta {
    /// Pieces that come (or, below zero, go).
    pub fn get(self) -> i64 {
        self.0
    }
}

impl TryFrom<i64> for Delta {
    type Error = Refused;

    fn try_from(value: i64) -> Result<Self, Refused> {
        if value != 0 && (-MAX_DELTA..=MAX_DELTA).contains(&value) {
            Ok(Self(value))
        } else {
            Err(Refused(format!(
                "must be {} to {MAX_DELTA} and not 0",
                -MAX_DELTA
            )))
        }
    }
}

/// Lower-cases what search looks at. Done here and not in SQL: a server with locale `C` lower-cases ASCII only.
pub fn search_text(name: &str, category: &str, description: &str) -> String {
    format!("{name}\n{category}\n{description}").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_and_plain() {
        for good in ["1", "keyboard-60", "a_b.C", &"x".repeat(64)] {
            assert!(ShortId::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a b", "é", "a/b", "nul\0", &"x".repeat(65)] {
            assert!(ShortId::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn text_counts_characters_and_refuses_controls() {
        assert!(Name::try_from("é".repeat(200)).is_ok());
        assert!(Name::try_from("é".repeat(201)).is_err());
        assert!(Name::try_from(" \t".to_owned()).is_err());
        assert!(Description::try_from(String::new()).is_ok());
        assert!(Description::try_from("a\0b".to_owned()).is_err());
    }

    #[test]
    fn numbers_keep_to_their_bounds() {
        assert!(
            Cents::try_from(0).is_ok()
                && Cents::try_from(-1).is_err()
                && Cents::try_from(MAX_PRICE + 1).is_err()
        );
        assert!(
            Quantity::try_from(0).is_err()
                && Quantity::try_from(999).is_ok()
                && Quantity::try_from(1000).is_err()
        );
    }
}
