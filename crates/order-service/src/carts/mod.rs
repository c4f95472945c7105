//! Carts: one per browser session, in Redis.

mod session;
mod store;

pub use session::{SessionId, session_of};
pub use store::{Cart, CartError, Carts, LIFETIME, Line, Seen};
