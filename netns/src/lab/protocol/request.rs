//! What is asked of a lab.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::kernel::sandbox::Window;
use crate::plan::On;

/// What can be asked of a running lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Request {
    /// Answered by one [`Reply::Status`](super::Reply::Status).
    Status,
    /// Stop everything and end; [`Reply::Progress`](super::Reply::Progress) lines until the connection ends with the lab.
    Down,
    /// Stop, start, restart, kill, pause or await instances. [`Reply::Progress`](super::Reply::Progress) lines about them, then [`Reply::Done`](super::Reply::Done), or
    /// [`Progress::Failed`](super::Progress::Failed) or [`Reply::Error`](super::Reply::Error) in its place.
    Steer {
        /// What is to be done.
        steer: Steer,
        /// Services, or instances; none: all.
        services: Vec<String>,
        /// How long what is started may take to become healthy; `None`: it is not waited for.
        wait_ms: Option<u64>,
    },
    /// Make something else of the lab. Answered as [`Request::Steer`] is. With it come listening sockets of the host, for `ports`.
    Change(Box<Change>),
    /// Run a program in an instance's sandbox, on the three descriptors that come with the request. Answered by [`Reply::Exited`](super::Reply::Exited)
    /// once it ended. Further bytes on the connection are signal numbers to pass on, one a byte; closing it kills the program.
    Exec(Exec),
    /// Run a one-off instance of a service on the three descriptors that come with the request; the rest is as with
    /// [`Request::Exec`]. It is gone when it has ended.
    Run(Run),
    /// Answered by one [`Reply::Usage`](super::Reply::Usage).
    Usage,
    /// [`Reply::Event`](super::Reply::Event) lines as things happen, until the lab or the connection ends.
    Events {
        /// Also what happened since then, in milliseconds since 1970.
        since_unix_ms: Option<u64>,
        /// Ends with what happened then.
        until_unix_ms: Option<u64>,
    },
}

/// A one-off instance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Of which service.
    pub service: String,
    /// Its name; `<service>-run-<n>` when absent.
    pub name: Option<String>,
    /// In place of the service's entrypoint.
    pub entrypoint: Option<Vec<String>>,
    /// In place of the service's command, unless empty.
    pub argv: Vec<String>,
    /// Variables beside those of the service, or in their place.
    pub env: BTreeMap<String, String>,
    /// Its working directory; the service's own when absent.
    pub cwd: Option<PathBuf>,
    /// As for [`Exec::terminal`].
    pub terminal: Option<Window>,
}

/// A program to run inside the lab.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// An instance, a service (its first instance that runs), or the router or the world: there a program of the machine runs, as the
    /// lab's root.
    pub target: String,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Variables beside those it has there, or in their place.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Its working directory; the sandbox's own (the root folder) when absent.
    #[serde(default)]
    pub cwd: Option<PathBuf>,
    /// In an instance's network as well: the machine's program, as the lab's root.
    #[serde(default)]
    pub privileged: bool,
    /// Answer, by [`Reply::Exited`](super::Reply::Exited) with 0, as soon as it runs, and let it run on.
    #[serde(default)]
    pub detach: bool,
    /// Give it a terminal of this size. The first descriptor is then a Unix socket, over which the terminal's other end comes.
    #[serde(default)]
    pub terminal: Option<Window>,
}

/// What a person may ask of instances that are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum Steer {
    /// Stop them, dependents first, and keep them stopped.
    Stop {
        /// How long each may take before it is killed; `None`: as its service says.
        grace_ms: Option<u64>,
    },
    /// Start those that do not run, and what they depend on.
    Start,
    /// Stop, then start them.
    Restart {
        /// As for [`Steer::Stop`].
        grace_ms: Option<u64>,
        /// Leaves those alone that `depends_on` restarts with them.
        no_deps: bool,
    },
    /// Send a signal; one that stops them keeps them stopped.
    Kill {
        /// Its number.
        signal: i32,
    },
    /// Halt every process of those that run.
    Pause,
    /// Let them go on.
    Unpause,
    /// Wait until each has ended once: [`Reply::Ended`](super::Reply::Ended) for each.
    Wait,
}

/// What a lab is to become.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The Compose file as it is now; `None`: as the lab knows it.
    pub file: Option<FileNow>,
    /// Instances of each of these services; of others as many as there are.
    pub scale: BTreeMap<String, u32>,
    /// Services that are to run, each as the file says now.
    pub services: BTreeSet<String>,
    /// Those among them that run anew even if nothing about them has changed.
    pub anew: BTreeSet<String>,
    /// Whether the others go on as they are even if something about them has changed.
    pub recreate: Recreate,
    /// What the sockets listen on, in their order.
    pub ports: Vec<On>,
    /// How long what is started may take to become healthy; `None`: it is not waited for.
    pub wait_ms: Option<u64>,
}

/// Which instances of those that stay are started anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recreate {
    /// Those whose service, or binary, is not what it was.
    #[default]
    Changed,
    /// None.
    None,
}

/// A Compose file with all that decides how it is understood.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileNow {
    /// The files' paths and texts, in their order.
    pub sources: Vec<(PathBuf, String)>,
    /// What relative paths start from.
    pub dir: PathBuf,
    /// The variables.
    pub environment: BTreeMap<String, String>,
    /// Where each package's binary is.
    pub binaries: BTreeMap<String, PathBuf>,
}
