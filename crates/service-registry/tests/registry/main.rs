//! The registry as its clients meet it: real sockets on loopback.

#![expect(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests, and sees only functions marked as such"
)]

mod classic;
mod client;
mod process;
mod support;
mod v1;
mod watch;
