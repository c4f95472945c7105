//! The launcher's side of a lab: prepares the state folder, enters the namespaces, listens until the lab is up.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::Flock;
use nix::sys::signal::{Signal, kill};
use nix::unistd::close;

use super::build::Binaries;
use super::init::{self, CONNECTED, DETACH, Lab};
use super::listen::Reserved;
use super::protocol::Reply;
use super::state::StateDir;
use super::{client, groups, logs};
use crate::compose::{Project, Run};
use crate::kernel::cgroup::guardian;
use crate::kernel::{self, BuildError, Entered, Failure, uplink};
use crate::plan::{Held, Plan, Uplink};

/// The log of the lab's first process itself, beside those of the instances.
pub const OWN_LOG: &str = "netns-setup";

/// How long what is left of a killed lab may take to end.
const REMAINS: Duration = Duration::from_secs(10);

/// Everything that has been decided before anything is touched.
#[derive(Debug)]
pub struct Launch {
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
    /// The host's ports.
    pub reserved: Vec<Reserved>,
    /// How long everything may take to become healthy.
    pub wait_timeout: Duration,
    /// What the launcher was started with beside its standard streams: see [`inherited_descriptors`].
    pub inherited: Vec<RawFd>,
}

/// Why a lab was not launched. Nothing is left of it.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// Another launcher was faster.
    #[error("error: this lab is up already, or is just coming up; `netns-setup ps` shows it")]
    AlreadyUp,
    /// A lab that was killed is still dying.
    #[error(
        "error: processes of the lab before this one have not ended yet\n = help: try again; `ps -o pid,stat,args` shows what holds them"
    )]
    Remains,
    /// The state folder, a port or the control socket.
    #[error("error: {0}")]
    Io(#[from] io::Error),
    /// What is left of an earlier life stays.
    #[error(
        "error: the control groups of the lab before this one cannot be removed: {0}\n = help: a process that is not the lab's may be in them; `systemd-cgls` shows it"
    )]
    Groups(io::Error),
    /// The kernel refused.
    #[error("error: cannot enter the lab's namespaces: {0}")]
    Kernel(#[from] Failure),
}

/// A lab that has been entered, seen from its launcher.
#[derive(Debug)]
pub struct Launched {
    inner: kernel::enter::Launched,
    state: StateDir,
    link: BufReader<UnixStream>,
    partial: String,
    uplink: Option<Uplink>,
    groups: Vec<PathBuf>,
}

/// What the launcher heard.
#[derive(Debug)]
pub enum Heard {
    /// A line from the lab.
    Reply(Reply),
    /// Nothing more for now.
    Nothing,
    /// The lab has ended.
    End,
}

/// Packages that the project's services are built from.
#[must_use]
pub fn packages(project: &Project) -> BTreeSet<String> {
    project
        .services
        .values()
        .filter_map(|service| match &service.run {
            Run::Cargo { package } => Some(package.clone()),
            Run::Server(_) | Run::Exec { .. } => None,
        })
        .collect()
}

/// Descriptors that this process was started with, beside its standard streams. To be asked before it opens any of its own.
///
/// A lab must not keep them: whoever started `up -d` with a pipe (a shell, make, a test) would wait for its end for ever.
#[must_use]
pub fn inherited_descriptors() -> Vec<RawFd> {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else {
        return Vec::new();
    };
    let open: Vec<RawFd> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2)
        .collect();
    // The listing's own descriptor is among them and closed by now.
    open.into_iter()
        .filter(|fd| {
            Path::new("/proc/self/fd")
                .join(fd.to_string())
                .symlink_metadata()
                .is_ok()
        })
        .collect()
}

/// Enters the lab. Returns in the launcher only; the lab's first process runs to its end in here. To be called while the process
/// has one thread.
///
/// # Errors
/// See [`LaunchError`].
pub fn launch(mut launch: Launch) -> Result<Launched, LaunchError> {
    // Whoever asks the lab where its file is stands elsewhere.
    for source in &mut launch.project.sources {
        source.path = std::path::absolute(&source.path)?;
    }
    let state = launch.state;
    state.create()?;
    let lock = state.try_lock()?.ok_or(LaunchError::AlreadyUp)?;
    if !state.wait_for_remains(REMAINS)? {
        return Err(LaunchError::Remains);
    }
    state.remove_runtime_files();
    state.create()?;
    let control = client::listen(&state.control())?;
    let listeners = launch
        .reserved
        .into_iter()
        .map(|port| Ok((port.publish, port.listen()?)))
        .collect::<io::Result<Vec<_>>>()?;
    logs::turn_over(&state.log(OWN_LOG), logs::LIMIT)?;
    let log = logs::open(&state.log(OWN_LOG))?;
    let log = OwnedFd::from(log);
    let (mine, theirs) = UnixStream::pair()?;
    let limiting = groups::prepare(&launch.project.name, &state).map_err(LaunchError::Groups)?;
    match kernel::enter(&log) {
        Err(failure) => {
            state.remove_runtime_files();
            Err(failure.into())
        }
        Ok(Entered::Lab(inside)) => {
            drop(mine);
            for fd in launch.inherited {
                let _ = close(fd); // one that is closed already is as well
            }
            let lab = Lab {
                project: launch.project,
                plan: launch.plan,
                held: launch.held,
                state,
                binaries: launch.binaries,
                listeners,
                control,
                lock,
                launcher: theirs,
                limiting,
                wait_timeout: launch.wait_timeout,
            };
            std::process::exit(init::main(lab, &inside))
        }
        Ok(Entered::Launcher(inner)) => {
            drop((theirs, listeners, control));
            // Closed, not unlocked: the lock belongs to the open file, which the lab's first process still has.
            close_without_unlocking(lock);
            // The lab makes its groups when it has heard its number: by then somebody waits to remove them.
            let groups = limiting
                .groups
                .map_or_else(Vec::new, |groups| groups.folders());
            if !groups.is_empty() {
                guardian::start(inner.pidfd.as_fd(), log.as_fd(), &groups)?;
            }
            let mut link = &mine;
            writeln!(link, "{}", inner.pid)?;
            mine.set_nonblocking(true)?;
            Ok(Launched {
                inner,
                state,
                link: BufReader::new(mine),
                partial: String::new(),
                uplink: launch.plan.uplink,
                groups,
            })
        }
    }
}

/// `Flock` unlocks when dropped, and that would unlock it for the lab too.
fn close_without_unlocking(lock: Flock<File>) {
    let fd = lock.as_raw_fd();
    std::mem::forget(lock);
    let _ = close(fd); // an error leaves nothing to be done: the descriptor is gone either way (close(2))
}

impl Launched {
    /// The lab's first process, as the host numbers it.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.inner.pid.as_raw()
    }

    /// Becomes readable when there is something to [`Launched::hear`].
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.get_ref().as_fd()
    }

    /// The next line, without waiting.
    ///
    /// # Errors
    /// When what arrives is no reply.
    pub fn hear(&mut self) -> io::Result<Heard> {
        match self.link.read_line(&mut self.partial) {
            Ok(0) => Ok(Heard::End),
            Ok(_) => Ok(Heard::Reply(serde_json::from_str(&std::mem::take(
                &mut self.partial,
            ))?)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Heard::Nothing),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(Heard::End),
            Err(error) => Err(error),
        }
    }

    /// Makes the uplink, when one was planned, to the router's namespace, which the lab's first process holds by that descriptor, and
    /// tells the lab; whether one stands.
    ///
    /// # Errors
    /// The step that was refused; the lab goes on without.
    pub fn connect(&self, router: Option<RawFd>) -> Result<bool, BuildError> {
        let (Some(planned), Some(router)) = (&self.uplink, router) else {
            return Ok(false);
        };
        let router = uplink::router_of(self.inner.pid, router)?;
        uplink::connect(planned, router)?;
        let mut stream = self.link.get_ref();
        let _ = writeln!(stream, "{CONNECTED}"); // when the lab is gone, so is the uplink
        Ok(true)
    }

    /// Lets the lab go on without its launcher.
    ///
    /// # Errors
    /// When the lab is gone.
    pub fn detach(self) -> io::Result<()> {
        let mut stream = self.link.get_ref();
        stream.write_all(format!("{DETACH}\n").as_bytes())
    }

    /// Asks the lab to stop everything and end.
    pub fn stop(&self) {
        let _ = kill(self.inner.pid, Signal::SIGTERM); // it may have ended just now
    }

    /// Ends the lab at once, and with it everything in it.
    pub fn kill(&self) {
        let _ = kill(self.inner.pid, Signal::SIGKILL);
    }

    /// Waits for the lab's first process to have ended, and its control groups to be gone.
    ///
    /// # Errors
    /// When the kernel refuses to wait or to remove them.
    pub fn wait(&self) -> io::Result<()> {
        self.inner.wait()?;
        groups::sweep_own(&self.state, &self.groups)
    }
}
