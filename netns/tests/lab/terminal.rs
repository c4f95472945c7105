//! A person at a terminal: a real one, of which the test holds the other end.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use nix::pty::{Winsize, openpty};
use nix::sys::termios::{Termios, tcgetattr};
use nix::unistd::ttyname;

use crate::setting::behind;

/// A terminal, and what has been shown on it.
pub(crate) struct Terminal {
    keys: File,
    line: OwnedFd,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    pub(crate) fn open(rows: u16, columns: u16) -> Result<Self> {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pair = openpty(Some(&size), None)?;
        let keys = File::from(pair.master);
        let shown = Arc::new(Mutex::new(String::new()));
        let (mut screen, text) = (keys.try_clone()?, Arc::clone(&shown));
        // Ends with an error when the last holder of the line has closed it.
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read) = screen.read(&mut buffer) {
                text.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
        });
        Ok(Self {
            keys,
            line: pair.slave,
            shown,
        })
    }

    /// Runs a command with this as its controlling terminal; its standard streams too, and its session is its own.
    pub(crate) fn run(&self, command: &Command) -> Result<std::process::Child> {
        Ok(session(command)
            .env("TERM", "vt220")
            .stdin(Stdio::from(self.line.try_clone()?))
            .stdout(Stdio::from(self.line.try_clone()?))
            .stderr(Stdio::from(self.line.try_clone()?))
            .spawn()?)
    }

    pub(crate) fn write(&self, text: &str) -> Result<()> {
        Ok((&self.keys).write_all(text.as_bytes())?)
    }

    /// Waits until `text` has been shown since the last [`Terminal::clear`].
    pub(crate) async fn shows(&self, text: &str) -> Result<()> {
        test_support::eventually(&format!("the terminal shows {text:?}"), || async {
            let shown = self.shown();
            ensure!(shown.contains(text), "it shows {shown:?}");
            Ok(())
        })
        .await
    }

    pub(crate) fn shown(&self) -> String {
        self.shown
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn clear(&self) {
        self.shown
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Changes its size, of which the kernel tells whoever runs on it.
    pub(crate) fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        let size = [rows.to_string(), columns.to_string()];
        let status = Command::new("stty")
            .arg("-F")
            .arg(ttyname(&self.line)?)
            .args(["rows", &size[0], "columns", &size[1]])
            .status()?;
        ensure!(status.success(), "stty: {status}");
        Ok(())
    }

    /// How the terminal is set: raw or not, echoing or not.
    pub(crate) fn settings(&self) -> Result<Termios> {
        Ok(tcgetattr(&self.line)?)
    }
}

/// `command` in a session of its own, whose terminal is its standard input; with nothing but its own environment.
pub(crate) fn session(command: &Command) -> Command {
    let mut session = Command::new("setsid");
    session.args(["--ctty", "--wait"]);
    behind(session, command)
}

/// Waits for a process that is about to end.
pub(crate) async fn end_of(child: &mut std::process::Child) -> Result<ExitStatus> {
    test_support::eventually("the command ends", || {
        let ended = child.try_wait();
        async move { ended?.context("it runs on") }
    })
    .await
}
