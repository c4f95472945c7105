//! A program on its way into its sandbox: from its helper's start until it runs, or until nothing is left of it.
//!
//! Whoever starts a program may be kept waiting by what the helper opens, mounts or executes (a disk or a network file system that
//! hangs), and must be able to give up. Listening therefore takes no thread, and giving up leaves nothing behind: both processes are
//! killed and collected before [`Start::finish`] returns. That every process of it is known is the order of things in the helper: the
//! forked process goes on only once its number has been reported (`init::fork_program`).

use std::future::Future;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::SUBCOMMAND;
use super::wire::{self, Report, Request};
use crate::kernel::failure::{Failure, Step};
use crate::kernel::reaper::{Collected, Exit, Moment, Reaper};

/// A program that runs.
#[derive(Debug)]
pub struct Program {
    /// Its first process, as the calling process numbers it.
    pub pid: Pid,
    /// Its end. The process is gone, and in no control group any more, when this is known.
    pub end: Collected,
}

/// Why a start was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// In words.
    pub reason: String,
    /// What a person can do.
    pub remedy: Option<String>,
}

/// A program that is being started. To be [finished](Start::finish).
#[derive(Debug)]
pub struct Start {
    name: String,
    reaper: Reaper,
    since: Moment,
    helper: Process,
    program: Option<Process>,
    socket: UnixStream,
    /// What the helper has not been sent yet of its request.
    unsent: Vec<u8>,
    /// What has been read and is no whole line yet.
    heard: Vec<u8>,
}

/// A child of this process.
#[derive(Debug)]
struct Process {
    pid: Pid,
    end: Collected,
}

impl Process {
    /// Kills it and waits until it has been collected.
    async fn end(self) -> Exit {
        // Until it is collected nobody else has its number; and what collects it is a task of this runtime, which has one thread.
        if !self.end.has_come() {
            let _ = kill(self.pid, Signal::SIGKILL); // it may have ended and wait for being collected
        }
        self.end.await
    }
}

impl Start {
    /// Starts a helper, and begins to tell it what to do.
    pub(super) fn begin(
        reaper: &Reaper,
        request: &Request,
        fds: &[BorrowedFd<'_>],
    ) -> Result<Self, Failure> {
        let name = request.name().to_owned();
        let (ours, theirs) = StdStream::pair().step(|| format!("{name}: make a socket pair"))?;
        let since = reaper.now();
        // Not waited for here: PID 1 collects every child in one place, and a second waiter would race with it.
        let helper = Command::new("/proc/self/exe")
            .arg0("netns-setup")
            .arg(SUBCOMMAND)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .step(|| format!("{name}: start the sandbox's helper"))?;
        let pid = Pid::from_raw(helper.id().cast_signed());
        let helper = Process {
            pid,
            end: reaper.collected(pid, since),
        };
        let unsent =
            wire::send(&ours, request, fds).step(|| format!("{name}: send its sandbox"))?;
        let socket = ours
            .set_nonblocking(true)
            .and_then(|()| UnixStream::from_std(ours))
            .step(|| format!("{name}: listen to its sandbox"))?;
        Ok(Self {
            name,
            reaper: reaper.clone(),
            since,
            helper,
            program: None,
            socket,
            unsent,
            heard: Vec::new(),
        })
    }

    /// The helper's process.
    #[must_use]
    pub fn helper(&self) -> Pid {
        self.helper.pid
    }

    /// Waits until the program has been executed; gives up when `given_up` comes before.
    ///
    /// # Errors
    /// The step that was refused, including a program that cannot be executed. Nothing of it is left: its processes have been
    /// collected.
    pub async fn finish(
        mut self,
        given_up: impl Future<Output = GivenUp>,
    ) -> Result<Program, Failure> {
        let outcome = tokio::select! {
            biased;
            outcome = self.listen() => outcome,
            GivenUp { reason, remedy } = given_up => Err(Failure {
                remedy,
                ..Failure::of(format!("{}: start its sandbox", self.name), reason)
            }),
        };
        match (outcome, self.program.take()) {
            (Ok(()), Some(Process { pid, end })) => Ok(Program { pid, end }),
            (outcome, program) => {
                self.program = program;
                let ended = io::Error::from(io::ErrorKind::UnexpectedEof).to_string();
                let name = self.name.clone();
                self.end().await;
                outcome?;
                Err(Failure::of(format!("{name}: start its sandbox"), ended))
            }
        }
    }

    /// Until both ends of the connection on the other side are closed: the helper's by its end, the program's by its execution.
    async fn listen(&mut self) -> Result<(), Failure> {
        let listen = |name: &str| format!("{name}: listen to its sandbox");
        let sent = self.socket.write_all(&self.unsent).await;
        sent.and(self.socket.shutdown().await)
            .step(|| format!("{}: send its sandbox", self.name))?;
        loop {
            while let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.heard.drain(..=end).collect();
                let report = serde_json::from_slice(&line).map_err(io::Error::from);
                self.take(report.step(|| listen(&self.name))?)?;
            }
            let read = self.socket.read_buf(&mut self.heard).await;
            if read.step(|| listen(&self.name))? == 0 {
                return Ok(());
            }
        }
    }

    fn take(&mut self, report: Report) -> Result<(), Failure> {
        match report {
            Report::Started(raw) => {
                let pid = Pid::from_raw(raw);
                let end = self.reaper.collected(pid, self.since);
                self.program = Some(Process { pid, end });
                Ok(())
            }
            Report::Failed(mut failure) => {
                failure.step = format!("{}: {}", self.name, failure.step);
                Err(failure)
            }
        }
    }

    /// Ends whatever there is of it. The helper first: it can say nothing more then, and what it has said is there to be read.
    async fn end(self) {
        let Self {
            helper,
            mut program,
            socket,
            mut heard,
            reaper,
            since,
            ..
        } = self;
        helper.end().await;
        while let Ok(1..) = socket.try_read_buf(&mut heard) {}
        for line in heard.split(|byte| *byte == b'\n') {
            if let Ok(Report::Started(raw)) = serde_json::from_slice(line) {
                let pid = Pid::from_raw(raw);
                let end = reaper.collected(pid, since);
                program.get_or_insert(Process { pid, end });
            }
        }
        if let Some(program) = program {
            program.end().await;
        }
    }
}
