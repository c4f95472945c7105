//! Runs a Compose file on Linux kernel primitives, without Docker and without root.
//!
//! [`compose`] reads the file, [`plan`] decides what to build (both pure), [`kernel`] builds it, [`lab`] keeps it running,
//! and [`doctor`] says what a machine lacks for that. [`fuzz`] says what must hold of whatever comes from outside.

pub mod cli;
mod columns;
pub mod compose;
pub mod doctor;
pub mod fuzz;
pub mod kernel;
pub mod lab;
pub mod plan;
