//! Launches a plan and keeps it running.
