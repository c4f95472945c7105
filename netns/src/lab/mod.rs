//! Launches a plan and keeps it running.

pub mod protocol;
pub mod state;
pub mod supervise;
