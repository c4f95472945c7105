//! Runs a Compose file on Linux kernel primitives, without Docker and without root.
