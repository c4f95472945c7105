//! Launches a plan and keeps it running.

pub mod supervise;
