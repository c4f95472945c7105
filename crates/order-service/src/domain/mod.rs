//! What an order is, and the bounds on everything a caller may say about one. No I/O.

mod order;
mod request;

pub use order::{Item, MoneyError, Order, Receipt, ReceiptItem, Shortage, Status, priced};
pub use request::{
    IdempotencyKey, InvalidIdempotencyKey, ItemBody, MAX_CART_QUANTITY, MAX_ITEMS, OrderBody,
    Placement, check_customer_id, check_product_id,
};
