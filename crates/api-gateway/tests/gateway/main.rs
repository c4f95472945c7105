//! The gateway between real clients and real upstream servers, all on loopback.

#![expect(
    clippy::unwrap_used,
    reason = "clippy lets test functions unwrap, but not the harness that they share"
)]

mod balancing;
mod bodies;
mod fields;
mod frozen;
mod harness;
mod lifecycle;
mod limits;
mod process;
mod retries;
