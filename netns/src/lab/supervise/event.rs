//! What can happen, what can be done, and the states between.

use super::Time;
use crate::kernel::reaper::Exit;

/// Where an instance is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not started: what it depends on is not there yet.
    Waiting,
    /// Its start was asked for and not yet reported.
    Starting,
    /// Its process runs.
    Running {
        /// When it was started.
        since: Time,
    },
    /// It ended and starts again at `until`.
    BackingOff {
        /// The end of the pause.
        until: Time,
    },
    /// It was told to stop; at `kill_at` it is killed (and never again).
    Stopping {
        /// The end of its grace period; `None` once it has been killed.
        kill_at: Option<Time>,
    },
    /// It ended, and nothing starts it again. `None`: it had never run.
    Ended(Option<Exit>),
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Nothing but time passing; also the first event.
    Tick,
    /// The instance's process runs.
    Started(usize),
    /// The instance's process could not be started.
    StartFailed(usize),
    /// The instance's process ended.
    Exited(usize, Exit),
    /// Its health check ended: did it succeed?
    Probed(usize, bool),
    /// Stop everything, dependents first, and end.
    Shutdown,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Start the instance; answered by [`Event::Started`] or [`Event::StartFailed`].
    Start(usize),
    /// Run its health check once; answered by [`Event::Probed`].
    Probe(usize),
    /// Send its stop signal.
    Stop(usize),
    /// Kill it.
    Kill(usize),
    /// Everything has ended after [`Event::Shutdown`].
    Finish,
}

/// How bringing the lab up stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Something is still starting.
    Pending,
    /// Everything runs and is healthy, or has completed.
    Ready,
    /// This instance cannot come up.
    Failed(usize),
}
