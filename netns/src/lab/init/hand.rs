//! An instance, as far as running it goes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::instance::{self, Machine};
use crate::compose::{Run, Service};
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
    pub(super) stop_signal: Signal,
    pub(super) log: PathBuf,
    pub(super) is_built: bool,
    /// Counts starts, so that news of an earlier process is not taken for news of this one.
    pub(super) run: u64,
    pub(super) pid: Option<Pid>,
    pub(super) since: Time,
    pub(super) shown: InstanceState,
    pub(super) problem: Option<String>,
}

impl Hand {
    /// An instance of which nothing runs yet.
    pub(super) fn new(service: &Service, planned: &Instance, machine: &Machine<'_>) -> Self {
        let spec = instance::sandbox(service, planned, machine);
        Self {
            planned: planned.clone(),
            check: service.healthcheck.as_ref().map(|check| {
                (
                    Arc::new(instance::health_check(&spec, check)),
                    check.timeout,
                )
            }),
            spec: Arc::new(spec),
            stop_signal: service.stop_signal.parse().unwrap_or(Signal::SIGTERM),
            log: machine.state.log(&planned.name),
            is_built: matches!(service.run, Run::Cargo { .. }),
            run: 0,
            pid: None,
            since: Time::ZERO,
            shown: InstanceState::Waiting,
            problem: None,
        }
    }
}
