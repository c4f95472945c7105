//! Says what a machine lacks to run the lab, and installs it.
//!
//! Probing (`machine`) is apart from judging (`checks`, `preflight`), so that what is said about a machine can be tested without
//! having that machine. What cannot be found out is said to be unknown; nothing is guessed, and nothing changed without `--install`.

mod apparmor;
mod asked;
mod asks;
mod check;
mod checks;
mod docker;
mod folder;
mod install;
mod kernel;
mod limits;
mod listeners;
mod machine;
mod preflight;
mod programs;
mod report;
mod software;
mod trial;

pub use asked::Answer;
pub use asks::Asks;
pub use check::{Check, Group, State};
pub use checks::checks;
pub use docker::Docker;
pub use limits::Limits;
pub use listeners::{Listener, listener};
pub use machine::{Machine, Wanted};
pub use preflight::preflight;
pub use software::Wants;
pub use trial::Refused;

use std::io::{self, Write};

/// Examines this machine for what is `wanted` of it, with `install` brings in what is missing (Debian packages, an AppArmor profile for
/// this program), and reports to `out`, as a table or as a JSON list of [`Check`]s. What package tools say goes to standard error. True
/// when nothing that is needed is missing; with `install`, nothing that can be installed: a port that is taken today is no concern of it.
///
/// # Errors
/// When `out` cannot be written, or a package tool cannot be run.
pub fn run(
    install: bool,
    json: bool,
    wanted: &Wanted<'_>,
    out: &mut impl Write,
) -> io::Result<bool> {
    let mut machine = Machine::probe(wanted);
    let mut found = checks(&machine);
    if install {
        let packages = checks::packages(&found);
        let profile = apparmor::is_wanted(&machine);
        if !packages.is_empty() || profile {
            install::install(&packages, profile.then_some(&machine))?;
            machine = Machine::probe(wanted);
            found = checks(&machine);
        }
        found.retain(|check| matches!(check.group, Group::Kernel | Group::Programs));
        let well = checks::well(&found);
        // Before `make up` a machine that is ready is not worth a table.
        if well && !json {
            let mut done: Vec<&str> = packages;
            if profile {
                done.push(apparmor::PROFILE);
            }
            if done.is_empty() {
                writeln!(out, "This machine has everything the lab needs.")?;
            } else {
                writeln!(out, "Installed: {}.", done.join(", "))?;
            }
            return Ok(true);
        }
    }
    if json {
        serde_json::to_writer_pretty(&mut *out, &found)?;
        writeln!(out)?;
    } else {
        report::table(&found, out)?;
        if !checks::packages(&found).is_empty() || apparmor::is_wanted(&machine) {
            writeln!(out, "\nTo install what is missing: {}", install::command())?;
        }
    }
    Ok(checks::well(&found))
}
