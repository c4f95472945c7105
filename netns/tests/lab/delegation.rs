//! Whether an ordinary user's labs have a control group that they may divide. `netns/tests/vm` arranges that, and says so.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::setting::behind;

/// Says how: `above` this test's own group is one, or each `up` is given one, by what `scopes` stands for.
const VARIABLE: &str = "UNDERLAY_LAB_DELEGATION";
/// What a refusal to enforce limits says that a person should put before the command.
pub(crate) const SCOPE: &str = "systemd-run --user --scope -p Delegate=yes";
/// Where a user's service manager is found.
const RUNTIME_DIR: &str = "XDG_RUNTIME_DIR";

/// How an ordinary user's labs get a group of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delegation {
    /// By none that is known of.
    Unknown,
    /// The group above this test's own is for it to divide.
    Above,
    /// Each `up` is put into a scope of its own.
    Scopes,
}

impl Delegation {
    pub(crate) fn find() -> Result<Self> {
        Ok(match std::env::var(VARIABLE).as_deref() {
            Err(_) => Self::Unknown,
            Ok("above") => Self::Above,
            Ok("scopes") => Self::Scopes,
            Ok(other) => bail!("{VARIABLE} is {other}, but wants to be above or scopes"),
        })
    }

    /// What of this test's environment leads to the user's service manager.
    pub(crate) fn environment(self) -> impl Iterator<Item = (&'static str, std::ffi::OsString)> {
        std::env::var_os(RUNTIME_DIR)
            .filter(|_| self != Self::Unknown)
            .map(|folder| (RUNTIME_DIR, folder))
            .into_iter()
    }

    /// A command that brings a lab up, with what it takes for its limits to be enforced.
    pub(crate) fn give(self, command: Command) -> Command {
        if self != Self::Scopes {
            return command;
        }
        let mut words = SCOPE.split(' ');
        let mut scope = Command::new(words.next().unwrap_or_default());
        scope.args(words).args(["--quiet", "--"]);
        let mut given = behind(scope, &command);
        given.stdin(Stdio::null());
        if let Some(folder) = command.get_current_dir() {
            given.current_dir(folder);
        }
        given
    }
}
