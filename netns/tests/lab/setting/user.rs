//! Users of this machine: numbers without a name, of whom nothing is written down anywhere.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{STATE_DIR, behind};

/// An ordinary user.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) id: u32,
    home: PathBuf,
}

impl User {
    pub(super) fn new(id: u32, home: PathBuf) -> Self {
        Self { id, home }
    }

    /// Where this user's labs are kept, when nobody says where.
    pub(crate) fn state(&self) -> PathBuf {
        self.home.join(".local/state/netns-setup")
    }

    /// `command`, run by this user: without groups, at home.
    pub(crate) fn run(&self, command: &Command) -> Command {
        let id = self.id;
        let mut setpriv = Command::new("setpriv");
        setpriv
            .args([format!("--reuid={id}"), format!("--regid={id}")])
            .args(["--clear-groups", "--"]);
        let mut run = behind(setpriv, command);
        run.env("HOME", &self.home);
        if let Some(folder) = command.get_current_dir() {
            run.current_dir(folder);
        }
        run
    }

    /// The same, with the labs where this user has them.
    pub(super) fn own(&self, command: &mut Command) -> Command {
        self.run(command.env_remove(STATE_DIR))
    }

    /// A program of the machine, run by this user.
    pub(crate) fn program(&self, name: &str, arguments: &[&dyn AsRef<Path>]) -> Command {
        let mut command = Command::new(name);
        command.args(arguments.iter().map(|argument| argument.as_ref()));
        self.run(command.env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin"))
    }
}
