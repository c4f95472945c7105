//! How an order gets from accepted to decided, and how a decision is carried to product-service, whatever crashes.
//!
//! [`decide`] is the whole policy and does no I/O; [`Saga`] calls product-service and writes what `decide` says;
//! [`recovery`] finishes what a crash, a timeout or an outage left. Two rules make every interleaving safe:
//!
//! * an order is decided exactly once, in a transaction that holds its row lock, so late or repeated answers change nothing;
//! * a cancelled order's reservation is deleted until product-service confirms it, and that leaves a tombstone, so a
//!   reservation request still on its way cannot take stock afterwards.

pub mod decide;
mod driver;
mod flights;
mod placing;
pub mod recovery;

pub use driver::{Cancellation, Policy, Saga};
pub use placing::Outcome;
