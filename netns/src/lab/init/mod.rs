//! The lab's first process: builds the network, then keeps every instance as the [`supervise`](super::supervise) core decides.
//!
//! One task owns all state and takes one message at a time; whatever may block (starting a sandbox, a slow reader of the control
//! socket, a health check that hangs) is a task or a thread of its own that sends a message when it is done.

mod allotment;
mod build;
mod change;
mod control;
mod disk;
mod events;
mod files;
mod guest;
mod hand;
mod instance;
mod invocation;
mod keeper;
mod launcher;
mod listener;
mod locate;
mod machine;
mod network;
mod official;
mod one_off;
mod pause;
mod prepare;
mod process;
mod program;
mod receive;
mod recorder;
mod report;
mod serve;
mod show;
mod status;
mod steer;
mod target;
mod usage;

use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use nix::fcntl::Flock;

pub(super) use launcher::{CONNECTED, DETACH};
use target::Refusal;

use super::build::Binaries;
use super::clock::Clock;
use super::groups::Limiting;
use super::logs;
use super::protocol::Progress;
use super::state::StateDir;
use crate::compose::Project;
use crate::kernel::enter::Inside;
use crate::kernel::{self, Network};
use crate::plan::{Held, Op, Plan, ROUTER};

/// Everything that the launcher hands over. Lives across the fork.
#[derive(Debug)]
pub struct Lab {
    /// The project as read.
    pub project: Project,
    /// What to build.
    pub plan: Plan,
    /// Where it is held, the plan going no further; `None`: nowhere.
    pub held: Option<Held>,
    /// Where its state is kept.
    pub state: StateDir,
    /// The built services.
    pub binaries: Binaries,
    /// Listening sockets of the host, by index in the plan's published ports.
    pub listeners: Vec<(usize, TcpListener)>,
    /// The control socket.
    pub control: UnixListener,
    /// The state folder's lock, held for as long as the lab lives.
    pub lock: Flock<File>,
    /// The launcher at the other end: hears progress, says its pid first, `connected` when it has made the uplink, and `detach` when it
    /// leaves on purpose.
    pub launcher: UnixStream,
    /// The lab's control groups, if it is to have any.
    pub limiting: Limiting,
    /// How long everything may take to become healthy.
    pub wait_timeout: Duration,
}

/// Runs the lab to its end and returns its exit code. To be called in the lab's first process while it has one thread.
#[must_use]
pub fn main(mut lab: Lab, inside: &Inside) -> i32 {
    // Standard error is the lab's own log.
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(io::stderr)
        // Where it cannot be written, on a full disk, a complaint about that cannot either, and would end the lab.
        .log_internal_errors(false)
        .init();
    // Every path is absolute by now; the folder the launcher was started in must not stay busy.
    let _ = std::env::set_current_dir("/");
    let clock = Clock::start();
    let state = lab.state.clone();
    let link = launcher::Link::new(&lab.launcher);
    let outcome = prepare(&mut lab, inside, &link, clock).and_then(|(pid, network)| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // Each is a sandbox being started, a change being planned, or files being read: mostly for milliseconds.
            .max_blocking_threads(8)
            .thread_keep_alive(Duration::from_secs(1))
            .build()
            .map_err(|error| (format!("start the runtime: {error}"), None))?;
        runtime
            .block_on(serve::serve(lab, pid, network, inside.identity, clock))
            .map_err(|error| (error.to_string(), None))
    });
    state.remove_runtime_files();
    link.tell(&match &outcome {
        Ok(()) => Progress::Ended,
        Err((message, code)) => {
            tracing::error!("{message}");
            Progress::Failed {
                instance: None,
                message: message.clone(),
                tail: Vec::new(),
                code: *code,
            }
        }
    });
    i32::from(outcome.is_err())
}

/// Everything before the first instance: folders, scripts, network.
fn prepare(
    lab: &mut Lab,
    inside: &Inside,
    link: &launcher::Link,
    clock: Clock,
) -> Result<(i32, Network), Refusal> {
    let pid = link
        .receive_pid()
        .map_err(|error| (format!("listen to the launcher: {error}"), None))?;
    prepare_files(lab, inside, pid).map_err(|error| disk::unwritten(lab.state.path(), &error))?;
    if let Some(groups) = &lab.limiting.groups
        && let Err(failure) = groups.create()
    {
        lab.limiting = Limiting {
            groups: None,
            unenforced: Some(failure.to_string()),
        };
    }
    let began = clock.now();
    let network = kernel::build(&lab.plan).map_err(|error| (error.to_string(), None))?;
    let made = |op: &&Op| matches!(op, Op::AddNamespace { .. });
    let namespaces = lab.plan.ops.iter().filter(made);
    link.tell(&Progress::Network {
        took_ms: (clock.now() - began).as_secs_f64() * 1e3,
        namespaces: namespaces.count(),
        operations: lab.plan.ops.len(),
        router: network
            .namespace(ROUTER)
            .map(|router| router.as_fd().as_raw_fd()),
    });
    Ok((pid, network))
}

fn prepare_files(lab: &Lab, inside: &Inside, pid: i32) -> io::Result<()> {
    lab.state.write_pid(pid)?;
    // A log tells of one life of the lab; those before it are the numbered files.
    for instance in &lab.plan.instances {
        logs::turn_over(&lab.state.log(&instance.name), 0)?;
    }
    let script = lab.state.run().join(instance::POSTGRES_ENTRYPOINT_FILE);
    fs::write(&script, instance::POSTGRES_ENTRYPOINT_TEXT)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    files::prepare(
        &lab.project,
        &lab.plan.instances,
        &lab.state,
        inside.identity,
    )?;
    files::write_hosts(&lab.state, &lab.plan.front(|_| true).hosts)
}
