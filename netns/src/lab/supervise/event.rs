//! What can happen, what can be done, and the states between.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use super::Time;
use super::slot::START_PATIENCE;
use crate::kernel::reaper::Exit;

/// One instance, for as long as the lab lives: never given to another one, even of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub(super) u32);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Some of the instances.
pub type Ids = BTreeSet<Id>;

/// What is wanted of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// It runs, and is started again as its restart policy says.
    Running,
    /// A person has stopped it: it stays so until a person starts it, whatever its restart policy.
    Held,
    /// It is stopped and then forgotten.
    Gone,
}

/// Where an instance is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not started: what it depends on is not there yet.
    Waiting,
    /// Its start was asked for and not yet reported; at `give_up_at` it is given up (and never again).
    Starting {
        /// The end of our patience; `None` once it has been given up.
        give_up_at: Option<Time>,
    },
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
    /// It was stopped, or kept from starting, and nothing but a person starts it again.
    Stopped,
    /// It ended by itself, and its restart policy leaves it at that.
    Ended(Exit),
}

impl State {
    /// Its start is asked for now.
    pub(super) fn starting(now: Time) -> Self {
        Self::Starting {
            give_up_at: Some(now + START_PATIENCE),
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Nothing but time passing; also the first event.
    Tick,
    /// The instance's process runs.
    Started(Id),
    /// The instance's process could not be started.
    StartFailed(Id),
    /// The instance's process ended.
    Exited(Id, Exit),
    /// Its health check ended: did it succeed?
    Probed(Id, bool),
    /// Stop these, those that depend on others of them first, and hold them.
    Stop(Ids, Grace),
    /// Kill these at once, and hold them.
    Kill(Ids),
    /// Start those of these that do not run, each once what it depends on is there.
    Start(Ids),
    /// Stop these as [`Event::Stop`] does, then start them as [`Event::Start`] does.
    Restart(Ids, Grace),
    /// Stop these as [`Event::Stop`] does, then forget them.
    Remove(Ids, Grace),
    /// Stop everything, dependents first, and end.
    Shutdown,
}

/// How long an instance may take to stop before it is killed, where it is not as long as its own file says.
pub type Grace = Option<Duration>;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Start the instance; answered by [`Event::Started`] or [`Event::StartFailed`].
    Start(Id),
    /// End what is being started; answered by [`Event::StartFailed`], or by [`Event::Started`] when that came first.
    GiveUp(Id),
    /// Run its health check once; answered by [`Event::Probed`].
    Probe(Id),
    /// Send its stop signal.
    Stop(Id),
    /// Kill it.
    Kill(Id),
    /// It has no process, and is no longer known: everything else that was its own can go.
    Forget(Id),
    /// Everything has ended after [`Event::Shutdown`].
    Finish,
}

/// How some instances' coming up stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Something is still starting.
    Pending,
    /// Everything runs and is healthy, or has completed, or is held as a person wants it.
    Ready,
    /// This instance cannot come up.
    Failed(Id),
}
