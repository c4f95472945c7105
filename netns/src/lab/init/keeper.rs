//! The main task: takes messages, asks the supervisor core, carries out what it answers.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::process::Starter;
use super::serve::Message;
use super::{Lab, instance};
use crate::compose::Run;
use crate::kernel::enter::heed_signals;
use crate::kernel::sandbox::{ExecSpec, SandboxSpec};
use crate::lab::clock::Clock;
use crate::lab::logs;
use crate::lab::protocol::{InstanceState, Reply};
use crate::lab::supervise::{Action, Event, Supervisor, Time};

/// How often log files are looked at for their size.
const ROTATE_EVERY: Duration = Duration::from_secs(1);

/// An instance, as far as running it goes.
#[derive(Debug)]
pub(super) struct Hand {
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    ComingUp,
    Up,
    GivenUp,
}

pub(super) struct Keeper {
    pub(super) lab: Lab,
    pub(super) pid: i32,
    pub(super) network_ms: f64,
    pub(super) clock: Clock,
    pub(super) supervisor: Supervisor,
    pub(super) hands: Vec<Hand>,
    pub(super) starter: Starter,
    pub(super) listeners: Vec<UnboundedSender<Reply>>,
    pub(super) detached: bool,
    pub(super) stage: Stage,
    pub(super) ready_ms: Option<u64>,
    pub(super) finished: bool,
}

impl Keeper {
    pub(super) fn new(
        lab: Lab,
        pid: i32,
        clock: Clock,
        starter: Starter,
        to_launcher: UnboundedSender<Reply>,
    ) -> Self {
        let machine = instance::Machine {
            state: &lab.state,
            binaries: &lab.binaries,
            postgres_programs: instance::postgres_programs("/usr/lib/postgresql".as_ref()),
        };
        let mut units = Vec::new();
        let mut hands = Vec::new();
        for planned in &lab.plan.instances {
            let Some(service) = lab.project.services.get(&planned.service) else {
                continue;
            };
            let spec = instance::sandbox(service, planned, &machine);
            units.push(instance::unit(service, planned));
            hands.push(Hand {
                check: service.healthcheck.as_ref().map(|check| {
                    (
                        Arc::new(instance::health_check(&spec, check)),
                        check.timeout,
                    )
                }),
                spec: Arc::new(spec),
                stop_signal: service.stop_signal.parse().unwrap_or(Signal::SIGTERM),
                log: lab.state.log(&planned.name),
                is_built: matches!(service.run, Run::Cargo { .. }),
                run: 0,
                pid: None,
                since: Time::ZERO,
                shown: InstanceState::Waiting,
                problem: None,
            });
        }
        let network_ms = starter.network.duration().as_secs_f64() * 1e3;
        Self {
            lab,
            pid,
            network_ms,
            clock,
            supervisor: Supervisor::new(units),
            hands,
            starter,
            listeners: vec![to_launcher],
            detached: false,
            stage: Stage::ComingUp,
            ready_ms: None,
            finished: false,
        }
    }

    pub(super) async fn run(&mut self, inbox: &mut UnboundedReceiver<Message>) -> io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        heed_signals()?;
        let mut rotate = tokio::time::interval(ROTATE_EVERY);
        self.take(Event::Tick);
        while !self.finished {
            let deadline = self.deadline();
            tokio::select! {
                Some(message) = inbox.recv() => self.hear(message),
                () = tokio::time::sleep_until(deadline.into()) => self.take(Event::Tick),
                _ = terminate.recv() => self.take(Event::Shutdown),
                _ = interrupt.recv() => self.take(Event::Shutdown),
                _ = rotate.tick() => self.rotate_logs(),
            }
        }
        Ok(())
    }

    fn deadline(&self) -> std::time::Instant {
        let give_up = (self.stage == Stage::ComingUp).then_some(self.lab.wait_timeout);
        let idle = self.clock.now() + Duration::from_secs(3600);
        let next = [self.supervisor.next_deadline(), give_up]
            .into_iter()
            .flatten()
            .fold(idle, Time::min);
        self.clock.instant(next)
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Spawned {
                index,
                run,
                started,
            } if run == self.hands[index].run => {
                let hand = &mut self.hands[index];
                match started {
                    Ok(pid) => {
                        hand.pid = Some(pid);
                        hand.problem = None;
                        self.take(Event::Started(index));
                    }
                    Err(problem) => {
                        hand.problem = Some(problem);
                        self.take(Event::StartFailed(index));
                    }
                }
            }
            Message::Exited { index, run, exit } if run == self.hands[index].run => {
                self.hands[index].pid = None;
                self.take(Event::Exited(index, exit));
            }
            Message::Probed {
                index,
                run,
                healthy,
            } if run == self.hands[index].run => {
                self.take(Event::Probed(index, healthy));
            }
            Message::Spawned { .. } | Message::Exited { .. } | Message::Probed { .. } => {}
            Message::Status(answer) => {
                let _ = answer.send(self.status()); // the one who asked may be gone
            }
            Message::Down(replies) => {
                self.listeners.push(replies);
                self.take(Event::Shutdown);
            }
            Message::Locate {
                target,
                argv,
                tty,
                answer,
            } => {
                let _ = answer.send(self.locate(&target, argv, tty));
            }
            Message::Detached => self.detached = true,
            Message::LauncherGone if self.detached => {}
            Message::LauncherGone => self.take(Event::Shutdown),
        }
    }

    pub(super) fn take(&mut self, event: Event) {
        let now = self.clock.now();
        for action in self.supervisor.decide(event, now) {
            self.carry_out(action, now);
        }
        self.show_changes(now);
        self.judge(now);
    }

    fn carry_out(&mut self, action: Action, now: Time) {
        match action {
            Action::Start(index) => {
                let hand = &mut self.hands[index];
                hand.run += 1;
                hand.since = now;
                self.starter
                    .start(index, hand.run, Arc::clone(&hand.spec), hand.log.clone());
            }
            Action::Probe(index) => {
                let hand = &self.hands[index];
                if let (Some(pid), Some((check, timeout))) = (hand.pid, &hand.check) {
                    self.starter
                        .probe(index, hand.run, pid, Arc::clone(check), *timeout);
                }
            }
            Action::Stop(index) => {
                self.hands[index].since = now;
                if let Some(pid) = self.hands[index].pid {
                    Starter::stop(pid, self.hands[index].stop_signal);
                }
            }
            Action::Kill(index) => {
                if let Some(pid) = self.hands[index].pid {
                    let _ = kill(pid, Signal::SIGKILL); // it may have ended just now; its end is on its way here
                }
            }
            Action::Finish => self.finished = true,
        }
    }

    fn rotate_logs(&self) {
        for hand in &self.hands {
            if let Err(error) = logs::rotate(&hand.log, logs::LIMIT) {
                tracing::warn!(%error, log = %hand.log.display(), "cannot turn the log over");
            }
        }
    }
}
