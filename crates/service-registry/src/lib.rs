//! Instances, leases, probes and watches: who serves what, where.
//!
//! [`core`] decides and touches nothing; [`registry`] holds its state, the clock and the watchers; [`probe`] dials back;
//! [`api`] speaks HTTP. All state is soft: after a restart, clients register again within a renewal.

pub mod admission;
pub mod api;
pub mod config;
pub mod core;
pub mod probe;
pub mod registry;
