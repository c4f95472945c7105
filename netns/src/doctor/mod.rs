//! Says what a machine lacks to run the lab, and installs it.
//!
//! Probing (`machine`) is apart from judging (`checks`, `preflight`), so that what is said about a machine can be tested without
//! having that machine.

mod checks;
mod install;
mod listeners;
mod machine;
mod preflight;
mod programs;

pub use checks::{Check, State, checks};
pub use listeners::{Listener, listener};
pub use machine::Machine;
pub use preflight::preflight;

use std::io::{self, Write};

/// Examines this machine, with `install` brings in the Debian packages that are missing, and reports to `out`, as a table or as a JSON
/// list. What package tools say goes to standard error. True when nothing that is needed is missing.
///
/// # Errors
/// When `out` cannot be written, or a package tool cannot be run.
pub fn run(install: bool, json: bool, out: &mut impl Write) -> io::Result<bool> {
    let mut found = checks(&Machine::probe());
    if install {
        let packages = checks::packages(&found);
        if !packages.is_empty() {
            install::install(&packages)?;
            found = checks(&Machine::probe());
        }
        let well = checks::well(&found);
        // Before `make up` a machine that is ready is not worth a table.
        if well && !json {
            if packages.is_empty() {
                writeln!(out, "This machine has everything the lab needs.")?;
            } else {
                writeln!(out, "Installed: {}.", packages.join(", "))?;
            }
            return Ok(true);
        }
    }
    if json {
        serde_json::to_writer_pretty(&mut *out, &found)?;
        writeln!(out)?;
    } else {
        checks::table(&found, out)?;
        let packages = checks::packages(&found);
        if !packages.is_empty() {
            writeln!(out, "\nTo install what is missing: {}", install::command())?;
        }
    }
    Ok(checks::well(&found))
}
