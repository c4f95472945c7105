//! How a command ends when it does not end well: what is said, and the exit code.

use std::fmt;
use std::io;

/// Exit codes, as `--help` lists them. A program run by `exec` passes its own code through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Code {
    /// What was asked for did not work.
    Failed = 1,
    /// The command line is wrong (clap's own).
    Usage = 2,
    /// The Compose file, or what is asked of it, is wrong.
    BadFile = 64,
    /// The machine lacks something, or something is in the way (a port that is taken).
    Environment = 69,
    /// Ctrl-C while coming up.
    Interrupted = 130,
}

/// Why a command did not end well.
#[derive(Debug)]
pub(super) struct Failure {
    /// The exit code.
    pub code: u8,
    /// What to print on standard error, complete but for the line end; empty when everything has been said.
    pub message: String,
}

impl Failure {
    /// A failure with a message: what, where, remedy.
    #[must_use]
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code: code as u8,
            message: message.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(Code::Failed, format!("error: {error}"))
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::new(Code::Failed, format!("error: {error}"))
    }
}
