//! The keyrings of sessions, as the kernel shows them to the sandboxes' user (`keyrings(7)`).

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Result, ensure};
use netns_setup::kernel::Identity;

use crate::setting::said;

/// The numbers of those that there are.
pub(super) fn of_sessions() -> Result<BTreeSet<String>> {
    let mut command = Command::new("cat");
    command.arg("/proc/keys");
    if nix::unistd::geteuid().is_root() {
        command.uid(Identity::Root.sandbox_owner());
    }
    let output = command.output()?;
    ensure!(output.status.success(), "{}", said(&output));
    let shown = String::from_utf8(output.stdout)?;
    // Number, flags, uses, expiry, permissions, owner, group, kind, name and what is in it.
    let numbers = shown.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_a_sessions = fields.get(7..9)? == ["keyring", "_ses:"];
        is_a_sessions.then(|| fields[0].to_owned())
    });
    Ok(numbers.collect())
}
