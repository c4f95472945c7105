//! The main task: takes messages, asks the supervisor core, carries out what it answers.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::process::Starter;
use super::{Lab, control, instance, launcher, status};
use crate::compose::Run;
use crate::kernel::reaper::{Exit, Reaper};
use crate::kernel::relay::{Relay, Upstream};
use crate::kernel::sandbox::{ExecSpec, SandboxSpec};
use crate::kernel::{Identity, Network};
use crate::lab::clock::{Clock, millis};
use crate::lab::logs;
use crate::lab::protocol::{
    InstanceState, InstanceStatus, Progress, PublishedPort, Reply, Status, line,
};
use crate::lab::supervise::{Action, Event, State, Supervisor, Time, Verdict};

/// Lines of an instance's log shown with its trouble.
const TAIL: usize = 8;
/// How often log files are looked at for their size.
const ROTATE_EVERY: Duration = Duration::from_secs(1);
/// How long whoever listens may take to hear the last words.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What reaches the main task.
#[derive(Debug)]
pub(super) enum Message {
    Spawned {
        index: usize,
        run: u64,
        started: Result<Pid, String>,
    },
    Exited {
        index: usize,
        run: u64,
        exit: Exit,
    },
    Probed {
        index: usize,
        run: u64,
        healthy: bool,
    },
    Status(oneshot::Sender<Status>),
    Down(UnboundedSender<Reply>),
    Locate {
        target: String,
        argv: Vec<String>,
        tty: bool,
        answer: oneshot::Sender<Result<Located, String>>,
    },
    Detached,
    LauncherGone,
}

/// Where `exec` takes place.
#[derive(Debug)]
pub(super) struct Located {
    pub(super) pid: Pid,
    pub(super) spec: ExecSpec,
}

/// An instance, as far as running it goes.
#[derive(Debug)]
struct Hand {
    spec: Arc<SandboxSpec>,
    check: Option<(Arc<ExecSpec>, Duration)>,
    stop_signal: Signal,
    log: PathBuf,
    is_built: bool,
    /// Counts starts, so that news of an earlier process is not taken for news of this one.
    run: u64,
    pid: Option<Pid>,
    since: Time,
    shown: InstanceState,
    problem: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    ComingUp,
    Up,
    GivenUp,
}

struct Keeper {
    lab: Lab,
    pid: i32,
    network_ms: f64,
    clock: Clock,
    supervisor: Supervisor,
    hands: Vec<Hand>,
    starter: Starter,
    listeners: Vec<UnboundedSender<Reply>>,
    detached: bool,
    stage: Stage,
    ready_ms: Option<u64>,
    finished: bool,
}

/// Runs the instances until the lab is told to stop and everything has.
pub(super) async fn serve(
    mut lab: Lab,
    pid: i32,
    network: Network,
    identity: Identity,
    clock: Clock,
) -> io::Result<()> {
    let (messages, mut inbox) = unbounded_channel();
    let reaper = Reaper::default();
    tokio::spawn(reaper.clone().run());
    let network = Arc::new(network);
    let _relays = relays(&mut lab, &network)?;
    let mut writers = JoinSet::new();
    let (to_launcher, from_keeper) = unbounded_channel();
    lab.launcher.set_nonblocking(true)?;
    let (reader, writer) =
        tokio::net::UnixStream::from_std(lab.launcher.try_clone()?)?.into_split();
    tokio::spawn(hear_launcher(reader, messages.clone()));
    writers.spawn(tell_launcher(writer, from_keeper));
    let control = lab.control.try_clone()?;
    control.set_nonblocking(true)?;
    let control = tokio::net::UnixListener::from_std(control)?;
    tokio::spawn(control::listen(control, messages.clone(), reaper.clone()));

    let starter = Starter {
        network,
        reaper,
        identity,
        messages,
    };
    let mut keeper = Keeper::new(lab, pid, clock, starter, to_launcher);
    keeper.run(&mut inbox).await?;
    drop(keeper);
    // Connections that wait for the end of `down` see it by the end of the process.
    let _ = tokio::time::timeout(LAST_WORDS, async {
        while writers.join_next().await.is_some() {}
    })
    .await;
    Ok(())
}

fn relays(lab: &mut Lab, network: &Network) -> io::Result<Vec<Relay>> {
    let mut relays = Vec::new();
    for (publish, listener) in std::mem::take(&mut lab.listeners) {
        let upstreams = lab.plan.publish[publish]
            .dial
            .iter()
            .map(|dial| {
                let namespace = network.namespace(&dial.namespace).ok_or_else(|| {
                    io::Error::other(format!("namespace {} was not planned", dial.namespace))
                })?;
                Ok(Upstream {
                    namespace: namespace.try_clone()?,
                    address: dial.address,
                })
            })
            .collect::<io::Result<Vec<_>>>()?;
        if !upstreams.is_empty() {
            relays.push(Relay::start(listener, upstreams)?);
        }
    }
    Ok(relays)
}

async fn hear_launcher(
    reader: tokio::net::unix::OwnedReadHalf,
    messages: UnboundedSender<Message>,
) {
    let mut lines = BufReader::new(reader).lines();
    while let Ok(Some(text)) = lines.next_line().await {
        if text == launcher::DETACH {
            let _ = messages.send(Message::Detached);
        }
    }
    let _ = messages.send(Message::LauncherGone);
}

async fn tell_launcher(
    mut writer: tokio::net::unix::OwnedWriteHalf,
    mut replies: UnboundedReceiver<Reply>,
) {
    while let Some(reply) = replies.recv().await {
        let Ok(bytes) = line(&reply) else { continue };
        if writer.write_all(&bytes).await.is_err() {
            return; // it has left
        }
    }
}

impl Keeper {
    fn new(
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

    async fn run(&mut self, inbox: &mut UnboundedReceiver<Message>) -> io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
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

    fn take(&mut self, event: Event) {
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
                self.signal(index, self.hands[index].stop_signal);
            }
            Action::Kill(index) => self.signal(index, Signal::SIGKILL),
            Action::Finish => self.finished = true,
        }
    }

    fn signal(&self, index: usize, signal: Signal) {
        if let Some(pid) = self.hands[index].pid {
            let _ = kill(pid, signal); // it may have ended just now; its end is on its way here
        }
    }

    /// Tells whoever listens about instances that reached another state.
    fn show_changes(&mut self, now: Time) {
        for (index, slot) in self.supervisor.slots().iter().enumerate() {
            let hand = &mut self.hands[index];
            let state = status::state_of(slot, self.supervisor.is_stopping(), hand.shown);
            if state == hand.shown {
                continue;
            }
            let never_ran = state == InstanceState::Stopped && slot.state == State::Ended(None);
            hand.shown = state;
            if never_ran {
                continue;
            }
            let detail = match state {
                InstanceState::Restarting | InstanceState::Failed => {
                    Some(hand.problem.clone().unwrap_or_else(|| {
                        slot.last_exit
                            .map_or_else(String::new, |exit| exit.to_string())
                    }))
                }
                _ => None,
            };
            let progress = Progress::Instance {
                instance: slot.unit.name.clone(),
                state,
                at_ms: millis(now),
                took_ms: millis(now.saturating_sub(hand.since)),
                detail,
            };
            self.listeners
                .retain(|listener| listener.send(Reply::Progress(progress.clone())).is_ok());
        }
    }

    /// While the lab comes up: is it ready, or beyond hope?
    fn judge(&mut self, now: Time) {
        if self.stage != Stage::ComingUp || self.supervisor.is_stopping() {
            return;
        }
        let (instance, message) = match self.supervisor.verdict() {
            Verdict::Ready => return self.announce_ready(now),
            Verdict::Pending if now < self.lab.wait_timeout => return,
            Verdict::Pending => {
                let late = self.supervisor.slots().iter().position(|slot| {
                    !slot.is_well() && !slot.has_completed() && slot.state != State::Waiting
                });
                let message = format!(
                    "not healthy after {} s",
                    self.lab.wait_timeout.as_secs_f64()
                );
                (late, message)
            }
            Verdict::Failed(index) => {
                let slot = &self.supervisor.slots()[index];
                let how = match (&self.hands[index].problem, slot.last_exit) {
                    (Some(problem), _) => problem.clone(),
                    (None, Some(exit)) if slot.in_crash_loop() => format!("keeps ending ({exit})"),
                    (None, Some(exit)) => format!("ended ({exit})"),
                    (None, None) => "could not be started".to_owned(),
                };
                (Some(index), how)
            }
        };
        self.stage = Stage::GivenUp;
        let tail = instance.map_or_else(Vec::new, |index| logs::tail(&self.hands[index].log, TAIL));
        let instance = instance.map(|index| self.supervisor.slots()[index].unit.name.clone());
        let failed = Reply::Progress(Progress::Failed {
            instance,
            message,
            tail,
        });
        self.listeners
            .retain(|listener| listener.send(failed.clone()).is_ok());
        self.take(Event::Shutdown);
    }

    fn announce_ready(&mut self, now: Time) {
        self.stage = Stage::Up;
        self.ready_ms = Some(millis(now));
        let memory = self
            .supervisor
            .slots()
            .iter()
            .zip(&self.hands)
            .filter(|(_, hand)| hand.is_built)
            .filter_map(|(slot, hand)| {
                Some((
                    slot.unit.name.clone(),
                    status::resident_memory(hand.pid?.as_raw()),
                ))
            })
            .collect();
        let ready = Reply::Progress(Progress::Ready {
            at_ms: millis(now),
            memory,
        });
        self.listeners
            .retain(|listener| listener.send(ready.clone()).is_ok());
    }

    fn rotate_logs(&self) {
        for hand in &self.hands {
            if let Err(error) = logs::rotate(&hand.log, logs::LIMIT) {
                tracing::warn!(%error, log = %hand.log.display(), "cannot turn the log over");
            }
        }
    }

    fn locate(&self, target: &str, argv: Vec<String>, tty: bool) -> Result<Located, String> {
        let mut known = false;
        for (slot, hand) in self.supervisor.slots().iter().zip(&self.hands) {
            if slot.unit.name == target || slot.unit.service == target {
                known = true;
                if let Some(pid) = hand.pid {
                    return Ok(Located {
                        pid,
                        spec: instance::program(&hand.spec, argv, tty),
                    });
                }
            }
        }
        let names: Vec<&str> = self
            .supervisor
            .slots()
            .iter()
            .map(|slot| slot.unit.name.as_str())
            .collect();
        Err(if known {
            format!("{target} is not running; `netns-setup ps` shows why")
        } else {
            format!(
                "no service or instance is named {target}; there are: {}",
                names.join(", ")
            )
        })
    }

    fn status(&self) -> Status {
        let now = self.clock.now();
        let instances = self
            .lab
            .plan
            .instances
            .iter()
            .zip(self.supervisor.slots())
            .zip(&self.hands);
        Status {
            project: self.lab.plan.project.clone(),
            pid: self.pid,
            uptime_ms: millis(now),
            network_ms: self.network_ms,
            ready_ms: self.ready_ms,
            published: self
                .lab
                .plan
                .publish
                .iter()
                .map(|port| PublishedPort {
                    host_ip: port.host_ip,
                    host_port: port.host_port,
                    service: port.service.clone(),
                    target_port: port.target_port,
                })
                .collect(),
            instances: instances
                .map(|((planned, slot), hand)| {
                    let in_trouble = slot.in_crash_loop()
                        || matches!(
                            hand.shown,
                            InstanceState::Failed
                                | InstanceState::Unhealthy
                                | InstanceState::Restarting
                        );
                    let mut tail = if in_trouble {
                        logs::tail(&hand.log, TAIL)
                    } else {
                        Vec::new()
                    };
                    tail.extend(hand.problem.clone());
                    InstanceStatus {
                        name: planned.name.clone(),
                        service: planned.service.clone(),
                        index: planned.index,
                        state: hand.shown,
                        health: status::health_word(slot).to_owned(),
                        address: planned.link.as_ref().map(|link| link.address.addr()),
                        lab_pid: hand.pid.map(Pid::as_raw),
                        pid: None,
                        uptime_ms: hand.pid.map(|_| millis(now.saturating_sub(hand.since))),
                        restarts: slot.restarts,
                        exit_code: slot.last_exit.map(Exit::shell_code),
                        crash_loop: slot.in_crash_loop(),
                        tail,
                    }
                })
                .collect(),
        }
    }
}
