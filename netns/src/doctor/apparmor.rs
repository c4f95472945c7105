//! AppArmor keeps unprivileged programs from using user namespaces (Ubuntu 23.10 and newer) unless a profile lets them.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use super::check::{Check, Group};
use super::machine::{Machine, program};

/// Where the profile is kept.
pub(super) const PROFILE: &str = "/etc/apparmor.d/netns-setup";

/// What an ordinary user is told.
pub(super) const REMEDY: &str = "AppArmor forbids it: `netns-setup doctor --install` writes a profile that lets this program; until the next boot, \
                                 as root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0";

/// What root is told, who is not restricted: others are.
pub(super) fn check(machine: &Machine) -> Option<Check> {
    const NAME: &str = "AppArmor";
    if !machine.apparmor_restricts {
        return None;
    }
    if is_let(machine) {
        return Some(Check::ok(
            Group::Kernel,
            NAME,
            format!("{PROFILE} lets this program use user namespaces"),
        ));
    }
    // An ordinary user who may not is told by the namespaces.
    (machine.root || machine.namespaces.is_none()).then(|| {
        Check::note(
            Group::Kernel,
            NAME,
            "keeps ordinary users' programs from user namespaces, this one too",
        )
        .remedy("`netns-setup doctor --install`, as root, writes a profile for this program")
    })
}

/// Whether a profile is wanted.
pub(super) fn is_wanted(machine: &Machine) -> bool {
    machine.apparmor_restricts && !is_let(machine) && (machine.root || machine.namespaces.is_some())
}

fn is_let(machine: &Machine) -> bool {
    let profile = profile(&machine.program);
    profile.is_ok_and(|profile| machine.apparmor_profile.as_deref() == Some(profile.as_str()))
}

/// The profile for the program at `path` (`apparmor.d(5)`): unconfined, but known by name, which is what lets it.
///
/// # Errors
/// When the path means something else in a profile.
fn profile(path: &Path) -> io::Result<String> {
    let text = path.to_str().filter(|text| {
        text.starts_with('/')
            && text
                .chars()
                .all(|c| !c.is_control() && !"\"\\*?[]{}^@,".contains(c))
    });
    let text = text.ok_or_else(|| {
        io::Error::other(format!(
            "{} cannot be named in an AppArmor profile; install the program in /usr/local/bin",
            path.display()
        ))
    })?;
    Ok(format!(
        "# Written by netns-setup doctor --install: lets this one program use user namespaces.\n\
         abi <abi/4.0>,\n\
         include <tunables/global>\n\
         \n\
         profile netns-setup \"{text}\" flags=(unconfined) {{\n  userns,\n  include if exists <local/netns-setup>\n}}\n"
    ))
}

/// Writes the profile and has AppArmor read it. As root.
///
/// # Errors
/// When the program's path cannot be named, the file cannot be written, or AppArmor refuses it; then the file is gone again.
pub(super) fn install(machine: &Machine) -> io::Result<()> {
    let parser = program("apparmor_parser").ok_or_else(|| {
        io::Error::other("there is no apparmor_parser; install the package apparmor")
    })?;
    fs::write(PROFILE, profile(&machine.program)?)?;
    let mut command = Command::new(parser);
    command
        .args(["-r", PROFILE])
        .stdin(Stdio::null())
        .stdout(io::stderr());
    if command.status()?.success() {
        return Ok(());
    }
    fs::remove_file(PROFILE)?;
    Err(io::Error::other(
        "apparmor_parser refused the profile; what it wrote above says why",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_names_one_program() {
        let text = profile(Path::new("/usr/local/bin/netns-setup")).unwrap();
        // Word for word in the form of the profiles that Ubuntu 24.04 ships (/etc/apparmor.d/chrome, say). Parsers before 4.0 know neither
        // that abi nor `userns`, and their kernels have no restriction that it would lift; the rest is accepted by 3.0, too.
        let rules: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .collect();
        assert_eq!(
            rules,
            [
                "abi <abi/4.0>,",
                "include <tunables/global>",
                "profile netns-setup \"/usr/local/bin/netns-setup\" flags=(unconfined) {",
                "  userns,",
                "  include if exists <local/netns-setup>",
                "}"
            ]
        );
        for path in ["relative", "/a/*", "/a/{b}", "/a\nb", "/a\"b", "/@{HOME}/x"] {
            assert!(profile(Path::new(path)).is_err(), "{path}");
        }
    }
}
