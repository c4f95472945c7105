//! Sets up the tasks of the first process and the messages between them.

use std::io;
use std::time::Duration;

use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{broadcast, oneshot};

use super::allotment::Allotment;
use super::change::{Asked, Relays};
use super::disk::Disk;
use super::keeper::Keeper;
use super::network::SharedNetwork;
use super::process::Starter;
use super::recorder::Recorder;
use super::status::Unread;
use super::target::{Refusal, Target};
use super::usage::Survey;
use super::{Lab, control, launcher};
use crate::kernel::namespace::NetNamespace;
use crate::kernel::reaper::{Exit, Reaper};
use crate::kernel::relay::Relay;
use crate::kernel::sandbox::{ExecSpec, SandboxSpec};
use crate::kernel::{Identity, Network, uplink};
use crate::lab::clock::Clock;
use crate::lab::events;
use crate::lab::protocol::{Exec, Reply, Run, Steer, line};
use crate::lab::supervise::Id;
use crate::plan::ROUTER;

/// How long whoever listens may take to hear the last words.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What reaches the main task.
#[derive(Debug)]
pub(super) enum Message {
    Spawned {
        id: Id,
        run: u64,
        started: Result<Pid, String>,
    },
    Exited {
        id: Id,
        run: u64,
        exit: Exit,
    },
    Probed {
        id: Id,
        run: u64,
        healthy: bool,
    },
    Status(oneshot::Sender<Unread>),
    Usage(oneshot::Sender<Survey>),
    Events {
        since_unix_ms: Option<u64>,
        answer: oneshot::Sender<(Vec<events::Event>, broadcast::Receiver<events::Event>)>,
    },
    Down(UnboundedSender<Reply>),
    Steer {
        steer: Steer,
        services: Vec<String>,
        wait: Option<Duration>,
        replies: UnboundedSender<Reply>,
    },
    Change(Box<Asked>),
    /// A one-off instance is wanted: its name is the answer, and the replies are those of a change.
    Admit {
        service: String,
        name: Option<String>,
        replies: UnboundedSender<Reply>,
        answer: oneshot::Sender<Result<String, String>>,
    },
    /// The one-off instance of that name is there: how it is run.
    Host {
        name: String,
        run: Run,
        answer: oneshot::Sender<Result<Located, String>>,
    },
    /// Its program runs.
    Arrived {
        name: String,
        pid: Pid,
    },
    /// It was asked to end, and its time for that is over.
    Overdue {
        name: String,
        pid: Pid,
    },
    /// It has ended.
    Dismiss(String),
    /// What a change comes to has been found out.
    Planned(Box<Result<Target, Refusal>>),
    /// The steps that were last set about have been taken.
    Applied(Result<(), Refusal>),
    Locate {
        exec: Exec,
        answer: oneshot::Sender<Result<Located, String>>,
    },
    /// What `exec` ran in the sandbox of this first process has ended.
    Left(Pid),
    Connected,
    Detached,
    LauncherGone,
}

/// What `exec` runs, and where.
#[derive(Debug)]
pub(super) struct Located {
    pub(super) place: Place,
    pub(super) spec: ExecSpec,
    pub(super) detach: bool,
}

impl Place {
    /// The first process of the sandbox that it is, if it is one that is there.
    pub(super) fn sandbox(&self) -> Option<Pid> {
        match self {
            Self::Sandbox(pid) => Some(*pid),
            Self::Network(_) | Self::Own(..) => None,
        }
    }
}

/// Where `exec` takes place.
#[derive(Debug)]
pub(super) enum Place {
    /// In the sandbox of which this is the first process.
    Sandbox(Pid),
    /// On the machine, in this network.
    Network(NetNamespace),
    /// In a sandbox of its own, in this network.
    Own(NetNamespace, Box<SandboxSpec>, Option<Allotment>),
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
    tokio::spawn({
        let reaper = reaper.clone();
        async move {
            if let Err(error) = reaper.run().await {
                tracing::error!(%error, "ends of processes are not heard of any more");
            }
        }
    });
    let network = SharedNetwork::new(network);
    let relays = relays(&mut lab, &network)?;
    let (hearing, mut all_heard) = tokio::sync::mpsc::channel(1);
    let (to_launcher, from_keeper) = unbounded_channel();
    lab.launcher.set_nonblocking(true)?;
    let (reader, writer) =
        tokio::net::UnixStream::from_std(lab.launcher.try_clone()?)?.into_split();
    tokio::spawn(hear_launcher(reader, messages.clone()));
    tokio::spawn(tell_launcher(writer, from_keeper, hearing.clone()));
    let control = lab.control.try_clone()?;
    control.set_nonblocking(true)?;
    let control = tokio::net::UnixListener::from_std(control)?;
    let listening = tokio::spawn(control::listen(
        control,
        messages.clone(),
        reaper.clone(),
        hearing,
    ));

    let starter = Starter {
        network: network.clone(),
        reaper,
        identity,
        recorder: Recorder::start(Disk::new(lab.state.logs()))?,
        messages,
    };
    let mut keeper = Keeper::new(lab, pid, clock, starter, relays, to_launcher);
    keeper.run(&mut inbox).await?;
    if let (true, Ok(router)) = (keeper.connected, network.namespace(ROUTER)) {
        let _ = uplink::disconnect(&router); // it goes with the namespace all the same, only a moment later
    }
    drop(keeper);
    listening.abort();
    let _ = tokio::time::timeout(LAST_WORDS, all_heard.recv()).await; // nothing is sent: it ends when all have heard
    Ok(())
}

fn relays(lab: &mut Lab, network: &SharedNetwork) -> io::Result<Relays> {
    let mut relays = Relays::new();
    for (publish, listener) in std::mem::take(&mut lab.listeners) {
        let port = &lab.plan.publish[publish];
        let upstreams = network.upstreams(&port.dial)?;
        relays.insert(port.on(), Relay::start(listener, upstreams)?);
    }
    Ok(relays)
}

async fn hear_launcher(
    reader: tokio::net::unix::OwnedReadHalf,
    messages: UnboundedSender<Message>,
) {
    let mut lines = BufReader::new(reader).lines();
    while let Ok(Some(text)) = lines.next_line().await {
        let message = match text.as_str() {
            launcher::CONNECTED => Message::Connected,
            launcher::DETACH => Message::Detached,
            _ => continue,
        };
        let _ = messages.send(message);
    }
    let _ = messages.send(Message::LauncherGone);
}

async fn tell_launcher(
    mut writer: tokio::net::unix::OwnedWriteHalf,
    mut replies: UnboundedReceiver<Reply>,
    _hearing: control::Hearing,
) {
    while let Some(reply) = replies.recv().await {
        let Ok(bytes) = line(&reply) else { continue };
        if writer.write_all(&bytes).await.is_err() {
            break; // it has left
        }
    }
    // Dropped, it would shut the connection down, and the lab's last word, that it has ended, could not be said.
    writer.forget();
}
