//! PID 1's duty: collect every process that ended, and tell whoever waits for it.
//!
//! Orphans are handed to PID 1 by the kernel, so it must wait for *any* child; a second waiter (`std::process::Child::wait`, tokio's
//! `Command`) would race with it. Hence one reaper, and everybody else asks it.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// How many ends are remembered that nobody has asked for yet: a process may end before the one who started it gets to ask.
const REMEMBERED: usize = 256;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// Whether it ended with code 0.
    #[must_use]
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }

    /// The code a shell would report: 128 + n for a signal.
    #[must_use]
    pub fn shell_code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => match nix::sys::signal::Signal::try_from(*number) {
                Ok(signal) => write!(f, "killed by {signal}"),
                Err(_) => write!(f, "killed by signal {number}"),
            },
        }
    }
}

/// Collects ended processes. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Reaper(Arc<Mutex<Ledger>>);

#[derive(Debug, Default)]
struct Ledger {
    waiting: HashMap<i32, Vec<oneshot::Sender<Exit>>>,
    ended: VecDeque<(Moment, i32, Exit)>,
    now: Moment,
}

/// A moment in the order in which processes ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Reaper {
    /// Collects for as long as it is polled: to be spawned once, in PID 1, before the first process is started.
    ///
    /// # Errors
    /// When SIGCHLD cannot be listened for, or the kernel refuses to wait.
    pub async fn run(self) -> io::Result<()> {
        let mut children = signal(SignalKind::child())?;
        loop {
            self.collect()?;
            if children.recv().await.is_none() {
                return Ok(());
            }
        }
    }

    /// Collects whatever has ended by now; returns how many there were.
    ///
    /// # Errors
    /// When the kernel refuses to wait.
    pub fn collect(&self) -> io::Result<usize> {
        let mut count = 0;
        loop {
            let (pid, exit) = match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, Exit::Code(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Exit::Signal(signal as i32)),
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(count),
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno.into()),
            };
            count += 1;
            self.ledger().record(pid.as_raw(), exit);
        }
    }

    /// The present moment: to be taken before a process is started, and given to [`collected`](Self::collected).
    #[must_use]
    pub fn now(&self) -> Moment {
        self.ledger().now
    }

    /// The end of `pid`, which must have been started by this process or been handed to it since the moment `since`: an earlier
    /// end is that of a process which had the number before. To be asked for right after the start: the ends of processes that
    /// nobody asked for are forgotten after a while.
    #[must_use]
    pub fn collected(&self, pid: Pid, since: Moment) -> Collected {
        let (sender, receiver) = oneshot::channel();
        let mut ledger = self.ledger();
        let known = ledger
            .ended
            .iter()
            .position(|(at, raw, _)| *raw == pid.as_raw() && *at >= since);
        match known.and_then(|at| ledger.ended.remove(at)) {
            Some((_, _, exit)) => {
                let _ = sender.send(exit); // its receiver is at hand
            }
            None => ledger.waiting.entry(pid.as_raw()).or_default().push(sender),
        }
        Collected(receiver)
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of a process, to be awaited: it has been collected then, and is in no control group any more.
#[derive(Debug)]
pub struct Collected(oneshot::Receiver<Exit>);

impl Collected {
    /// Whether it has come: the process's number may be another one's.
    #[must_use]
    pub fn has_come(&self) -> bool {
        !self.0.is_empty()
    }
}

impl Future for Collected {
    type Output = Exit;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Exit> {
        // The sender lives in the ledger, which lives as long as anybody may ask.
        let exit = Pin::new(&mut self.0).poll(context);
        exit.map(|exit| exit.unwrap_or(Exit::Signal(libc::SIGKILL)))
    }
}

impl Ledger {
    fn record(&mut self, pid: i32, exit: Exit) {
        if let Some(senders) = self.waiting.remove(&pid) {
            for sender in senders {
                let _ = sender.send(exit); // the one who asked is gone
            }
            return;
        }
        if self.ended.len() == REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back((self.now, pid, exit));
        self.now.0 += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_end_before_the_question_is_answered_too() {
        let reaper = Reaper::default();
        let before = reaper.now();
        reaper.ledger().record(7, Exit::Code(3));
        let first = reaper.collected(Pid::from_raw(7), before);
        assert!(first.has_come());
        assert_eq!(first.await, Exit::Code(3));
        let second = reaper.collected(Pid::from_raw(8), before);
        assert!(!second.has_come());
        reaper.ledger().record(8, Exit::Signal(9));
        assert!(second.has_come());
        assert_eq!(second.await, Exit::Signal(9));
    }

    #[tokio::test]
    async fn the_end_of_one_that_had_the_number_before_is_none_of_this_one() {
        let reaper = Reaper::default();
        reaper.ledger().record(7, Exit::Code(0));
        let since = reaper.now();
        reaper.ledger().record(7, Exit::Code(3));
        assert_eq!(
            reaper.collected(Pid::from_raw(7), since).await,
            Exit::Code(3)
        );
    }

    #[test]
    fn unasked_ends_are_forgotten_oldest_first() {
        let reaper = Reaper::default();
        for pid in 0..=256 {
            reaper.ledger().record(pid, Exit::Code(0));
        }
        let ledger = reaper.ledger();
        assert_eq!(ledger.ended.len(), REMEMBERED);
        assert_eq!(ledger.ended.front().map(|(_, pid, _)| *pid), Some(1));
    }
}
