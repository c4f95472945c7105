//! Runs small programs in a sandbox for a verb, with pipes of its own.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, pipe};
use std::os::fd::{AsFd, OwnedFd};
use std::thread::JoinHandle;

use super::failure::{Code, Failure};
use crate::lab::client::Client;
use crate::lab::protocol::{Exec, Reply, Request};
use crate::lab::state::StateDir;

/// Most bytes kept of what a program says on standard error.
const SAID: u64 = 4096;

/// A sandbox.
#[derive(Debug)]
pub(super) struct Inside {
    state: StateDir,
    target: String,
}

/// A program that runs there.
struct Running {
    client: Client,
    said: JoinHandle<String>,
}

impl Inside {
    pub(super) fn new(state: &StateDir, target: String) -> Self {
        Self {
            state: state.clone(),
            target,
        }
    }

    /// The service or instance.
    pub(super) fn name(&self) -> &str {
        &self.target
    }

    /// Whether the program ends with success.
    pub(super) fn succeeds(&self, argv: &[&str]) -> Result<bool, Failure> {
        let (stdin, stdout) = (null()?, null()?);
        let mut running = self.start(argv, stdin, stdout)?;
        Ok(running.code()? == 0)
    }

    /// Runs the program on these streams.
    pub(super) fn run(
        &self,
        argv: &[&str],
        stdin: OwnedFd,
        stdout: OwnedFd,
    ) -> Result<(), Failure> {
        let running = self.start(argv, stdin, stdout)?;
        self.judge(running, Ok(()))
    }

    /// Runs the program while `take` reads what it prints.
    pub(super) fn read(
        &self,
        argv: &[&str],
        take: impl FnOnce(PipeReader) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let (reader, writer) = pipe()?;
        let running = self.start(argv, null()?, writer.into())?;
        let taken = take(reader);
        self.judge(running, taken)
    }

    /// Runs the program while `give` writes what it reads.
    pub(super) fn write(
        &self,
        argv: &[&str],
        give: impl FnOnce(PipeWriter) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let (reader, writer) = pipe()?;
        let running = self.start(argv, reader.into(), null()?)?;
        let given = give(writer);
        self.judge(running, given)
    }

    fn start(&self, argv: &[&str], stdin: OwnedFd, stdout: OwnedFd) -> Result<Running, Failure> {
        let (errors, stderr) = pipe()?;
        let exec = Exec {
            target: self.target.clone(),
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            ..Exec::default()
        };
        let fds = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
        let client = Client::ask(&self.state.control(), Request::Exec(exec), &fds)?;
        // The program alone is to hold its ends of the pipes.
        drop((stdin, stdout, stderr));
        // A program that says more than is kept of it must not wait for a reader.
        let said = std::thread::spawn(move || {
            let (mut text, mut errors) = (Vec::new(), errors);
            let _ = errors.by_ref().take(SAID).read_to_end(&mut text);
            let _ = io::copy(&mut errors, &mut io::sink());
            String::from_utf8_lossy(&text).into_owned()
        });
        Ok(Running { client, said })
    }

    /// The program's own word about what went wrong comes before that of whoever read or wrote at the other end of its pipe.
    fn judge(&self, mut running: Running, carried: io::Result<()>) -> Result<(), Failure> {
        let broken = carried
            .as_ref()
            .is_err_and(|error| error.kind() != io::ErrorKind::BrokenPipe);
        if broken {
            // Its reader is gone, or it will be killed with the connection: its end is of no interest.
            return Ok(carried?);
        }
        let code = running.code()?;
        let said = running.said.join().unwrap_or_default();
        if code != 0 {
            let said = match said.trim() {
                "" => format!("exit code {code}"),
                said => said.to_owned(),
            };
            return Err(Failure::new(
                Code::Failed,
                format!("error: in {}: {said}", self.target),
            ));
        }
        Ok(carried?)
    }
}

impl Running {
    fn code(&mut self) -> Result<i32, Failure> {
        match self.client.reply()? {
            Some(Reply::Exited { code }) => Ok(code),
            Some(Reply::Error { message, .. }) => {
                Err(Failure::new(Code::Failed, format!("error: {message}")))
            }
            _ => Err(Failure::new(Code::Failed, "error: the lab ended")),
        }
    }
}

fn null() -> io::Result<OwnedFd> {
    let file = File::options().read(true).write(true).open("/dev/null")?;
    Ok(file.into())
}
