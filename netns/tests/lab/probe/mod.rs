//! This test's own program, run again inside a sandbox: tries to get out of it and says what each attempt came to.
//!
//! An attempt that is refused proves something only if it could have succeeded. So each is also made where it is permitted: outside,
//! by the same user, or with every capability in namespaces of the user's own; what it has to come to there stands beside it.
//! [`list`] is the table.

pub(crate) mod caller;
pub(crate) mod list;
mod raw;
mod tries;
mod watch;

use std::fmt;
use std::io::{IsTerminal, stdin};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

/// First argument when this is that program; the place and the world follow.
pub(crate) const ARGUMENT: &str = "--probe";

/// What the attempts are made on: things of the caller's and of siblings, all of them there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct World {
    /// A folder of the caller's.
    pub(crate) home: PathBuf,
    /// The caller's home as the user database has it; root's, where it has none.
    pub(crate) passwd_home: PathBuf,
    /// A file in it that is the caller's alone.
    pub(crate) private_file: PathBuf,
    /// The lab's state folder.
    pub(crate) state: PathBuf,
    /// A secret of another service.
    pub(crate) secret: PathBuf,
    /// A socket that an engine would be asked on.
    pub(crate) engine: PathBuf,
    /// The name of a socket without a path.
    pub(crate) abstract_socket: String,
    /// A port that the caller listens on, on the host's loopback.
    pub(crate) port: u16,
    /// A process of another sandbox, as the host numbers it.
    pub(crate) sibling: i32,
    /// What limits the memory of the sandbox, as the kernel shows it outside.
    pub(crate) limit: PathBuf,
    /// A process of the caller's.
    pub(crate) caller: i32,
    /// A folder that the caller may write, standing for the root where that is not the sandbox's.
    pub(crate) root: PathBuf,
}

/// Where attempts are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a sandbox.
    Sandbox,
    /// On the machine, by the caller.
    Outside,
    /// In user, mount, network, PID, IPC and UTS namespaces that the caller made, with every capability there.
    Namespaces,
}

impl Place {
    const ALL: [(&'static str, Self); 3] = [
        ("sandbox", Self::Sandbox),
        ("outside", Self::Outside),
        ("namespaces", Self::Namespaces),
    ];

    pub(crate) fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, place)| *place == self)
            .map_or("", |(name, _)| name)
    }
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It succeeded.
    Done,
    Refused(Errno),
    /// It was killed for it.
    Killed(Signal),
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Refused(errno) => write!(f, "errno {}", *errno as i32),
            Self::Killed(signal) => write!(f, "signal {}", *signal as i32),
        }
    }
}

impl FromStr for Answer {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text.split_once(' ') {
            None if text == "done" => Self::Done,
            Some(("errno", number)) => Self::Refused(Errno::from_raw(number.parse()?)),
            Some(("signal", number)) => Self::Killed(Signal::try_from(number.parse::<i32>()?)?),
            _ => bail!("no answer: {text:?}"),
        })
    }
}

/// Tries everything that is tried at this place, on its terminal if it has one: one line an attempt, its number and the answer.
/// With no arguments it watches who comes into the sandbox.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    if arguments.is_empty() {
        return watch::run();
    }
    let [place, world] = arguments else {
        bail!("{ARGUMENT} PLACE WORLD");
    };
    let (_, place) = Place::ALL
        .into_iter()
        .find(|(name, _)| name == place)
        .context("no such place")?;
    let world: World = serde_json::from_str(world)?;
    let attempts = list::attempts(stdin().is_terminal());
    for (number, attempt) in attempts.iter().enumerate() {
        if attempt
            .expected(place, nix::unistd::geteuid().is_root())
            .is_some()
        {
            println!("tried {number} {}", raw::apart(|| (attempt.act)(&world))?);
        }
    }
    Ok(())
}

/// Reads what [`main`] printed.
pub(crate) fn answers(text: &str) -> Result<Vec<(usize, Answer)>> {
    text.lines()
        .filter_map(|line| line.strip_prefix("tried ")?.split_once(' '))
        .map(|(number, answer)| Ok((number.parse()?, answer.parse()?)))
        .collect()
}
