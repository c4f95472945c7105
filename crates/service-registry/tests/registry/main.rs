//! The registry as its clients meet it: real sockets on loopback.

mod classic;
mod client;
mod support;
mod v1;
mod watch;
