//! Starting, probing and signalling an instance's processes. Each runs beside the main task and reports by message.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, fchown};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::hand::Hand;
use super::network::SharedNetwork;
use super::recorder::{Recorder, Recording};
use super::serve::Message;
use crate::kernel::Identity;
use crate::kernel::reaper::Reaper;
use crate::kernel::sandbox::{self, ExecSpec, GivenUp, SandboxSpec, Start, Streams};
use crate::lab::supervise::{Id, START_PATIENCE};

/// How often, and how long apart, a program is looked at for a handler of its stop signal: a second in all.
const HANDLER_TRIES: u32 = 50;
const HANDLER_PAUSE: Duration = Duration::from_millis(20);

/// What every start needs.
#[derive(Debug, Clone)]
pub(super) struct Starter {
    pub(super) network: SharedNetwork,
    pub(super) reaper: Reaper,
    pub(super) identity: Identity,
    pub(super) recorder: Recorder,
    pub(super) messages: UnboundedSender<Message>,
}

impl Starter {
    /// Starts the instance; [`Message::Spawned`] and, when it ends, [`Message::Exited`] follow.
    pub(super) fn start(&self, id: Id, hand: &mut Hand) {
        let (give_up, given_up) = oneshot::channel();
        hand.give_up = Some(give_up);
        let (run, spec, log) = (hand.run, Arc::clone(&hand.spec), hand.log.clone());
        let allotment = hand.allotment.clone();
        let starter = self.clone();
        tokio::spawn(async move {
            let blocking = starter.clone();
            let begun = tokio::task::spawn_blocking(move || {
                if let Some(allotment) = allotment {
                    allotment
                        .prepare()
                        .map_err(|failure| format!("{}: {failure}", spec.name))?;
                }
                blocking.begin(&spec, &log)
            })
            .await;
            let started = match begun.unwrap_or_else(|error| Err(error.to_string())) {
                Ok((start, recording)) => {
                    let started = start.finish(hang(given_up)).await;
                    started
                        .map(|program| (program, recording))
                        .map_err(|failure| failure.to_string())
                }
                Err(message) => Err(message),
            };
            let (started, end) = match started {
                Ok((program, recording)) => (Ok(program.pid), Some((program.end, recording))),
                Err(message) => (Err(message), None),
            };
            // The main task is gone only when the lab ends.
            let _ = starter.messages.send(Message::Spawned { id, run, started });
            if let Some((end, recording)) = end {
                let exit = end.await;
                recording.catch_up().await; // its last words are to be had by whoever hears of its end
                let _ = starter.messages.send(Message::Exited { id, run, exit });
            }
        });
    }

    fn begin(&self, spec: &SandboxSpec, log: &Path) -> Result<(Start, Recording), String> {
        let namespace = self
            .network
            .namespace(&spec.name)
            .map_err(|error| format!("enter its network: {error}"))?;
        let record = self.recorder.record(log);
        let (output, recording) = record.map_err(|error| format!("open its log: {error}"))?;
        // A program may open /dev/stdout anew, which asks for its right to the pipe (rootless it owns it already).
        let owner = self.identity.sandbox_owner();
        let _ = fchown(&output, Some(owner.into()), Some(owner.into()));
        let input = File::open("/dev/null").map_err(|error| format!("open /dev/null: {error}"))?;
        let streams = Streams {
            stdin: input.as_fd(),
            stdout: output.as_fd(),
            stderr: output.as_fd(),
        };
        sandbox::spawn(&self.reaper, spec, namespace.as_fd(), streams)
            .map(|start| (start, recording))
            .map_err(|failure| failure.to_string())
    }

    /// Sends the stop signal to an instance's program, once it would heed it.
    ///
    /// The program is the first process of its PID namespace, and the kernel drops a signal for such a one that it neither catches
    /// nor blocks (`pid_namespaces(7)`): sent too early, in the moments before the program has installed its handler, it would be lost
    /// and the grace period waited out for nothing. One that is blocked is dropped all the same once it no longer is, without a
    /// handler: shells block signals for the moment in which they fork. Only a program that has it blocked whenever it is looked at
    /// fetches its signals (`sigwait(3)`). One that installs no handler is killed; one that ignores the signal wants its grace period.
    pub(super) fn stop(pid: Pid, signal: Signal) {
        tokio::spawn(async move {
            let (mut sent, mut drops) = (false, false);
            for _ in 0..HANDLER_TRIES {
                let Some(stance) = stance(pid, signal) else {
                    return; // it has ended; word of it is on its way
                };
                match stance {
                    Stance::Neither => (sent, drops) = (false, true),
                    Stance::Blocks if drops || sent => {}
                    Stance::Ignores => return,
                    Stance::Catches if sent => return,
                    Stance::Blocks | Stance::Catches => {
                        let _ = kill(pid, signal); // it may have ended just now
                        sent = true;
                        if stance == Stance::Catches {
                            return;
                        }
                    }
                }
                tokio::time::sleep(HANDLER_PAUSE).await;
            }
            if drops {
                let _ = kill(pid, Signal::SIGKILL);
            }
        });
    }

    /// Runs the instance's health check once; [`Message::Probed`] follows, at the latest after `timeout` and what killing takes.
    pub(super) fn probe(
        &self,
        id: Id,
        run: u64,
        target: Pid,
        spec: Arc<ExecSpec>,
        timeout: Duration,
    ) {
        let starter = self.clone();
        tokio::spawn(async move {
            let reaper = starter.reaper.clone();
            let begun = tokio::task::spawn_blocking(move || exec_quietly(&reaper, target, &spec));
            let program = match begun.await {
                Ok(Some(start)) => start.finish(patience()).await.ok(),
                _ => None,
            };
            let healthy = match program {
                Some(mut program) => {
                    match tokio::time::timeout(timeout, &mut program.end).await {
                        Ok(exit) => exit.success(),
                        Err(_) => {
                            // With what it started: it leads a session, and with that a group. It may have ended just now.
                            let _ = killpg(program.pid, Signal::SIGKILL);
                            false
                        }
                    }
                }
                None => false,
            };
            let _ = starter.messages.send(Message::Probed { id, run, healthy });
        });
    }
}

/// What a program does about a signal at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stance {
    Catches,
    Blocks,
    Ignores,
    Neither,
}

/// `None`: it has ended.
fn stance(pid: Pid, signal: Signal) -> Option<Stance> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(stance_of(&status, signal))
}

/// `SigCgt`, `SigIgn` and `SigBlk` in `proc_pid_status(5)`: masks, signal 1 in the lowest bit.
fn stance_of(status: &str, signal: Signal) -> Stance {
    let bit = 1_u64 << (signal as u32 - 1);
    let has = |field: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .is_some_and(|mask| mask & bit != 0)
    };
    if has("SigCgt:") {
        Stance::Catches
    } else if has("SigIgn:") {
        Stance::Ignores
    } else if has("SigBlk:") {
        Stance::Blocks
    } else {
        Stance::Neither
    }
}

/// Comes when a start is given up.
async fn hang(given_up: oneshot::Receiver<Duration>) -> GivenUp {
    match given_up.await {
        Ok(after) => hung(after),
        Err(_) => std::future::pending().await, // nobody will
    }
}

/// Comes when a start has taken longer than any does.
async fn patience() -> GivenUp {
    tokio::time::sleep(START_PATIENCE).await;
    hung(START_PATIENCE)
}

fn hung(after: Duration) -> GivenUp {
    GivenUp {
        reason: format!("given up after {:.1} s", after.as_secs_f64()),
        remedy: Some(
            "what it opens, mounts or executes does not answer: a disk, a network file system, a scanner of files?"
                .to_owned(),
        ),
    }
}

fn exec_quietly(reaper: &Reaper, target: Pid, spec: &ExecSpec) -> Option<Start> {
    let null = File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .ok()?;
    let streams = Streams {
        stdin: null.as_fd(),
        stdout: null.as_fd(),
        stderr: null.as_fd(),
    };
    sandbox::exec_in(reaper, target, spec, streams).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_caught_or_ignored_or_blocked_or_neither() {
        let status =
            "SigBlk:\t0000000000004002\nSigIgn:\t0000000000001000\nSigCgt:\t0000000000004000\n";
        let of = |signal| stance_of(status, signal);
        assert_eq!(
            of(Signal::SIGTERM),
            Stance::Catches,
            "while it is blocked too"
        );
        assert_eq!(of(Signal::SIGINT), Stance::Blocks);
        assert_eq!(of(Signal::SIGQUIT), Stance::Neither);
        assert_eq!(of(Signal::SIGPIPE), Stance::Ignores);
    }
}
