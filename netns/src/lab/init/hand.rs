//! An instance, as far as running it goes.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::sync::oneshot;

use super::allotment::{Allotment, Memory};
use super::instance;
use super::invocation;
use super::machine::Machine;
use crate::compose::{Limits, Run, Service, byte_size};
use crate::kernel::reaper::Exit;
use crate::kernel::sandbox::{ExecSpec, SandboxSpec};
use crate::lab::protocol::InstanceState;
use crate::lab::supervise::Time;
use crate::plan::Instance;

/// An instance: what it is made of, and the process that it has now.
#[derive(Debug)]
pub(super) struct Hand {
    pub(super) planned: Instance,
    pub(super) spec: Arc<SandboxSpec>,
    pub(super) check: Option<(Arc<ExecSpec>, Duration)>,
    /// Its control group, if the lab has any.
    pub(super) allotment: Option<Allotment>,
    pub(super) memory: Memory,
    pub(super) stop_signal: Signal,
    pub(super) log: PathBuf,
    pub(super) is_built: bool,
    /// Tells its binary from one that was built later.
    binary: Option<Stamp>,
    /// Ends its start while that is under way: says after how long.
    pub(super) give_up: Option<oneshot::Sender<Duration>>,
    /// Counts starts, so that news of an earlier process is not taken for news of this one.
    pub(super) run: u64,
    pub(super) pid: Option<Pid>,
    /// Whether its processes are halted. Only of one that runs, and is not to stop.
    pub(super) is_paused: bool,
    /// Whether its health check is to be run once it goes on.
    pub(super) owes_probe: bool,
    pub(super) since: Time,
    pub(super) shown: InstanceState,
    pub(super) problem: Option<String>,
}

/// A file's number and the time of its last change, in seconds and nanoseconds.
type Stamp = (u64, i64, i64);

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.mtime(), metadata.mtime_nsec()))
}

impl Hand {
    /// An instance of which nothing runs yet.
    pub(super) fn new(service: &Service, planned: &Instance, machine: &Machine<'_>) -> Self {
        let spec = instance::sandbox(service, planned, machine);
        Self {
            planned: planned.clone(),
            check: service.healthcheck.as_ref().map(|check| {
                (
                    Arc::new(invocation::health_check(&spec, check)),
                    check.timeout,
                )
            }),
            spec: Arc::new(spec),
            allotment: machine
                .groups
                .map(|groups| Allotment::new(groups, &planned.name, &service.limits)),
            memory: Memory::default(),
            stop_signal: service.stop_signal.parse().unwrap_or(Signal::SIGTERM),
            log: machine.state.log(&planned.name),
            is_built: matches!(service.run, Run::Cargo { .. }),
            binary: match &service.run {
                Run::Cargo { package } => {
                    machine.binaries.get(package).and_then(|path| stamp(path))
                }
                Run::Server(_) | Run::Exec { .. } => None,
            },
            give_up: None,
            run: 0,
            pid: None,
            is_paused: false,
            owes_probe: false,
            since: Time::ZERO,
            shown: InstanceState::Waiting,
            problem: None,
        }
    }

    /// Whether the other one would run alike.
    pub(super) fn is_made_like(&self, other: &Self) -> bool {
        self.spec == other.spec
            && self.check == other.check
            && self.stop_signal == other.stop_signal
            && self.limits() == other.limits()
            && self.binary == other.binary
    }

    /// What it is made of from its next start on.
    pub(super) fn become_like(&mut self, other: Self) {
        self.spec = other.spec;
        self.check = other.check;
        self.allotment = other.allotment;
        self.stop_signal = other.stop_signal;
        self.is_built = other.is_built;
        self.binary = other.binary;
    }

    /// Takes in the end of its process.
    pub(super) fn ended(&mut self, exit: Exit) {
        self.pid = None;
        (self.is_paused, self.owes_probe) = (false, false);
        if let Some(allotment) = &self.allotment {
            let kills = allotment.usage().oom_kills.unwrap_or(0);
            self.memory.ended(exit, kills);
        }
    }

    /// How it ended, in words: that it was its own limit is what a person has to know.
    pub(super) fn end(&self, exit: Exit) -> String {
        if !self.memory.ended_it {
            return exit.to_string();
        }
        match self.limits().memory {
            Some(memory) => format!("oom-killed at its memory limit of {}", byte_size(memory)),
            None => "oom-killed: the machine was out of memory".to_owned(),
        }
    }

    /// The limits that are enforced.
    pub(super) fn limits(&self) -> Limits {
        let given = self.allotment.as_ref();
        given.map_or_else(Limits::default, |given| given.limits)
    }
}
