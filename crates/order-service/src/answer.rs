//! The decided answer to a placed order: what is stored with the idempotency key and given to every copy of the request.

use serde::{Deserialize, Serialize};

use crate::{
    domain::{Order, Shortage},
    saga::decide::Reason,
};

/// A decided answer. What varies between copies (request id, `idempotency-replayed`) is added when it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Answer {
    /// 201: the order as it was confirmed.
    Placed {
        /// The order.
        order: Order,
    },
    /// 409: not enough stock.
    Short {
        /// The lines that could not be served.
        short: Vec<Shortage>,
    },
    /// 422: lines that name no product.
    UnknownProducts {
        /// Their positions in the request's `items`.
        positions: Vec<usize>,
    },
    /// 422: the sum does not fit.
    TotalTooLarge,
    /// 409: cancelled before it was confirmed.
    Withdrawn,
}

impl From<Reason> for Answer {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Short(short) => Self::Short { short },
            Reason::UnknownProducts(positions) => Self::UnknownProducts { positions },
            Reason::TotalTooLarge => Self::TotalTooLarge,
            Reason::Withdrawn => Self::Withdrawn,
        }
    }
}
