//! Launches a plan and keeps it running.

pub mod build;
pub mod client;
pub mod clock;
pub mod init;
pub mod launch;
pub mod listen;
pub mod logs;
pub mod protocol;
pub mod state;
pub mod supervise;
