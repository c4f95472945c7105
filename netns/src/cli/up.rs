//! `up`: check everything, build, launch, and [`watch`] how it comes up.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser};
use nix::unistd::Pid;

use super::args::{Global, scale, seconds};
use super::failure::{Code, Failure};
use super::progress::Printer;
use super::project::{self, Loaded};
use super::streams::Streams;
use super::summary::{Told, heading, summary};
use super::terminal::say;
use super::watch::watch;
use super::{built, change, doctor, ps, turn, until, uplink};
use crate::columns::paragraph;
use crate::kernel::wait_for_end;
use crate::lab::build::Binaries;
use crate::lab::clock::{Clock, millis};
use crate::lab::folder::lacks_room;
use crate::lab::launch::{self, Launch, LaunchError};
use crate::lab::listen;
use crate::lab::logs::Window;
use crate::lab::protocol::{Recreate, Status};
use crate::lab::state::StateDir;
use crate::lab::turn::Turn;
use crate::plan;

/// How long a lab that is being taken down may take to end: its instances' grace periods, one after the other.
const GOING: Duration = Duration::from_secs(120);

/// How long a lab that is just coming up, or ending, may have nobody to ask, and how long to wait before asking again.
pub(super) const MUTE: Duration = Duration::from_secs(3);
pub(super) const MUTE_PAUSE: Duration = Duration::from_millis(20);

/// `up`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  netns-setup up -d --wait-timeout 60
  netns-setup up --scale product-service=3 --scale order-service=2
  netns-setup up -d redis            one service and what it depends on
  HTTP_PORT=8081 GATEWAY_PORT=3002 ADMIN_PORT=3003 netns-setup -p second up -d
                                    a second lab beside the first
  netns-setup up --until 17         the network's first 17 steps, no instance

An up that fails takes down again what it has started; volumes and logs stay. On
a lab that is up, up starts and ends what the file or the options have changed,
leaves the rest running whatever comes of it, and returns, with -d or without.
While it is brought up or changed from elsewhere, up waits and goes on
from there.")]
pub(super) struct Up {
    /// Return when everything is healthy, leaving it running
    #[arg(short, long)]
    pub detach: bool,
    /// Number of instances of a service; may be given again
    #[arg(long, value_name = "SERVICE=N", value_parser = scale)]
    pub scale: Vec<(String, u32)>,
    /// Leave what the services depend on as it is
    #[arg(long)]
    pub no_deps: bool,
    /// Start everything named anew, changed or not
    #[arg(long, conflicts_with = "no_recreate")]
    pub force_recreate: bool,
    /// Leave what runs as it is, changed or not
    #[arg(long)]
    pub no_recreate: bool,
    /// Build before starting: the default here, unless NETNS_BIN_DIR is set
    #[arg(long, conflicts_with_all = ["no_build", "bin_dir"])]
    pub build: bool,
    /// Services that the file has no more are removed: always so
    #[arg(long, hide = true)]
    pub remove_orphans: bool,
    /// Nothing is asked: always so
    #[arg(short, long, hide = true)]
    pub yes: bool,
    /// Run what was built before
    #[arg(long)]
    pub no_build: bool,
    /// Run the binaries in this folder; builds nothing [env: NETNS_BIN_DIR]
    #[arg(long, value_name = "FOLDER")]
    pub bin_dir: Option<PathBuf>,
    /// Cargo profile to build with
    #[arg(
        long,
        value_name = "PROFILE",
        default_value = "release",
        env = "NETNS_BUILD_PROFILE"
    )]
    pub cargo_profile: String,
    /// What --detach does here: it waits until all is healthy
    #[arg(long)]
    pub wait: bool,
    /// Give up when something is not healthy after so many seconds
    #[arg(long, value_name = "SECONDS", default_value = "120", value_parser = seconds)]
    pub wait_timeout: Duration,
    /// Build the network up to this step, start no instance, and hold there, for
    /// a look at what the step has made; `config --format plan` numbers the steps
    #[arg(long, value_name = "STEP", value_parser = until::step)]
    pub until: Option<usize>,
    /// Whether this host is joined to it.
    #[command(flatten)]
    pub uplink: uplink::Wanted,
    /// Services to bring up, with what they depend on [default: all]
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

impl Up {
    /// What of a lab that runs is started anew.
    pub(super) fn recreate(&self) -> Recreate {
        match self.no_recreate {
            true => Recreate::None,
            false => Recreate::Changed,
        }
    }

    /// Which of the services that are to run are started anew, changed or not: not what they depend on.
    pub(super) fn anew(&self, services: &BTreeSet<String>) -> BTreeSet<String> {
        match (self.force_recreate, self.services.is_empty()) {
            (false, _) => BTreeSet::new(),
            (true, true) => services.clone(),
            (true, false) => self.services.iter().cloned().collect(),
        }
    }

    /// How long a lab that runs may take to be healthy again.
    pub(super) fn wait_ms(&self) -> Option<u64> {
        Some(millis(self.wait_timeout))
    }
}

impl Default for Up {
    fn default() -> Self {
        /// Parses nothing but the defaults (and the environment), so that they are stated once.
        #[derive(Parser)]
        struct Defaults {
            #[command(flatten)]
            up: Up,
        }
        Defaults::parse_from(["up"]).up
    }
}

pub(super) fn run(global: &Global, up: &Up) -> Result<u8, Failure> {
    let inherited = launch::inherited_descriptors();
    let loaded = project::load_with(global, &up.services)?;
    let turn = turn::take(&loaded.state)?;
    bring_up(global, loaded, up, inherited, turn)
}

/// Brings up what has been read already; `inherited` are the descriptors that were open before, `turn` is ours until it is up.
pub(super) fn bring_up(
    global: &Global,
    loaded: Loaded,
    up: &Up,
    mut inherited: Vec<RawFd>,
    turn: Option<Turn>,
) -> Result<u8, Failure> {
    let services = change::selected(&loaded.project, &up.services, up.no_deps)?;
    let Loaded { project, state, .. } = &loaded;
    let mut scale: BTreeMap<String, u32> = up.scale.iter().cloned().collect();
    let others = project
        .services
        .keys()
        .filter(|name| !services.contains(*name));
    for other in others {
        scale.entry(other.clone()).or_insert(0);
    }
    let plan = plan::plan(project, &scale)
        .map_err(|error| Failure::new(Code::BadFile, format!("error: {error}")))?;
    let (plan, held) = match up.until {
        Some(step) => until::part_of(plan, step).map(|(plan, held)| (plan, Some(held)))?,
        None => (plan, None),
    };
    let clock = Clock::start();
    if let Some(status) = running(&project.name, state, clock)? {
        if project::named(global)?.is_none() {
            project::is_ours(&project.name, &project.dir, &status)?;
        }
        if status.held != held {
            return Err(until::differs(&project.name, &status));
        }
        return on_running(&loaded, &status, up, services);
    }
    let Loaded { project, state, .. } = loaded;
    doctor::preflight(&project, &state)?;
    let reserved = listen::reserve(&project, &plan)
        .map_err(|found| Failure::new(Code::Environment, project::diagnostics(&found)))?;
    state.create().map_err(|error| {
        Failure::new(
            Code::Environment,
            format!("error: the lab's folder cannot be used: {error}\n = help: name one of your own with --state-dir or NETNS_STATE_DIR"),
        )
    })?;
    let clock = Clock::start();
    let binaries = match held {
        Some(_) => Binaries::default(),
        None => built::binaries(up, &project)?,
    };
    let plan = match held {
        Some(_) => plan,
        None => uplink::planned(&up.uplink, &project, &scale, &state)?,
    };
    let mut told = Told {
        heading: heading(&project, &plan),
        summary: summary(&project, &plan),
        direct: plan.direct.clone(),
        held: held.clone(),
        build_ms: millis(clock.now()),
        network_ms: 0.0,
        unenforced: None,
    };

    let printer = Printer::new(plan.instances.iter().map(|instance| instance.name.as_str()));
    let names: Vec<String> = plan
        .instances
        .iter()
        .map(|instance| instance.name.clone())
        .collect();
    inherited.extend(turn.as_ref().map(Turn::descriptor));
    let launch = Launch {
        project,
        plan,
        held,
        state: state.clone(),
        binaries,
        reserved,
        wait_timeout: up.wait_timeout,
        inherited,
    };
    // Before the lab writes: it begins new files, which are followed from their first lines.
    let streams = (!up.detach && !up.wait)
        .then(|| Streams::new(&state, &names, &[], Window::to_come()))
        .transpose()?;
    let launched = launch::launch(launch).map_err(|error| match error {
        LaunchError::Groups(ref why) | LaunchError::Io(ref why)
            if let Some(full) = lacks_room(state.path(), why) =>
        {
            Failure::new(Code::Environment, format!("error: {full}"))
        }
        LaunchError::AlreadyUp
        | LaunchError::Remains
        | LaunchError::Groups(_)
        | LaunchError::Io(_) => Failure::new(Code::Failed, error.to_string()),
        LaunchError::Kernel(_) => Failure::new(Code::Environment, error.to_string()),
    })?;
    watch(launched, &printer, &mut told, streams, turn)
}

/// Makes of a lab that runs what the file and the options say now, and says what that came to.
fn on_running(
    loaded: &Loaded,
    status: &Status,
    up: &Up,
    services: BTreeSet<String>,
) -> Result<u8, Failure> {
    let name = &loaded.project.name;
    if up.uplink.no_uplink && status.uplink.is_some() {
        say(&format!(
            "note: {name} has its uplink until it is down; --no-uplink is for the next `up`"
        ));
    }
    if status.held.is_some() {
        say(&format!("{name} is held already; nothing was changed"));
        return ps::show(status).map(|()| 0);
    }
    let ended = change::apply(loaded, status, up, services)?;
    let status = ps::status(&loaded.state)?;
    if ended.touched == 0 {
        let how = if status.ready_ms.is_some() {
            "is up already"
        } else {
            "is coming up already"
        };
        say(&format!("{name} {how}; nothing was changed"));
    }
    ps::show(&status)?;
    if !up.detach && !up.wait && ended.code == 0 {
        say(&paragraph(
            "",
            &format!("{name} goes on in the background: `logs -f` follows it, `down` ends it"),
        ));
    }
    Ok(ended.code)
}

/// How the lab that runs already stands; `None` when there is none, or no more: one that is being taken down is waited for.
fn running(name: &str, state: &StateDir, clock: Clock) -> Result<Option<Status>, Failure> {
    let mut told = false;
    while state.is_up() {
        match ps::status(state) {
            Ok(status) if !status.stopping => return Ok(Some(status)),
            Ok(status) => {
                if !std::mem::replace(&mut told, true) {
                    say(&format!("{name} is being taken down; waiting for its end"));
                }
                if !wait_for_end(Pid::from_raw(status.pid), GOING)? {
                    return Err(Failure::new(
                        Code::Failed,
                        format!("error: {name} is still being taken down"),
                    ));
                }
            }
            // Between the lock and the socket, on its way up or down, there is nobody to ask.
            Err(_) if clock.now() < MUTE && !ps::is_of_another_version(state) => {
                std::thread::sleep(MUTE_PAUSE);
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(None)
}
