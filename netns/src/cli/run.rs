//! `run`: a one-off instance of a service.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::args::{Global, variable};
use super::exec::{Patience, is_terminal, stream, variables};
use super::failure::{Code, Failure};
use super::project::Loaded;
use super::pty::window;
use super::steer::Ended;
use super::up::{self, Up};
use super::{change, project, ps, stranger, turn};
use crate::lab::clock::millis;
use crate::lab::launch;
use crate::lab::protocol::{self, Request};
use crate::lab::turn::Turn;

/// How long what it depends on may take to be healthy.
const WAIT: Duration = Duration::from_secs(120);

/// `run`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
A sandbox of its own beside the service's instances: same program, files,
variables, network and permitted connections, an address of its own. Nobody is
led to it by the service's name or ports, and it is gone when it has ended. It
reaches its own service where a flow leads from that to itself, or the file has
no x-flows; else `exec` runs a client beside the server.
What the service depends on is started if it does not run, with the lab itself
if that is not up, and goes on afterwards: `down` ends it.

It has a name, SERVICE-run-N or --name: `ps -a`, top and stats show it; exec,
cp, stop and kill take it. What it prints is for the caller and in no log.
SIGINT and SIGTERM are passed on; the third ends it by SIGKILL. Ctrl-C at a
terminal of its own is the program's: where that does not heed it,
`netns-setup kill` does.

Examples:
  netns-setup run -e LOG=debug order-service
  netns-setup run --entrypoint /bin/sh product-service -c 'cat /etc/hosts'
  netns-setup run --entrypoint pg_isready product-service -h postgres

Exit code: the program's; 126: it cannot be executed, 127: there is none.")]
pub(super) struct Run {
    /// Set a variable; without a value: as it is here. May be given again
    #[arg(short, long, value_name = "KEY[=VALUE]", value_parser = variable)]
    pub env: Vec<(String, Option<String>)>,
    /// Run this in place of the service's entrypoint
    #[arg(long, value_name = "PROGRAM")]
    pub entrypoint: Option<String>,
    /// Name of the instance [default: SERVICE-run-N]
    #[arg(long)]
    pub name: Option<String>,
    /// Leave the services that it depends on stopped, if they are
    #[arg(long)]
    pub no_deps: bool,
    /// No terminal of its own, even when this is one
    #[arg(short = 'T', long, alias = "no-TTY")]
    pub no_tty: bool,
    /// Remove it when it has ended: always so
    #[arg(long)]
    pub rm: bool,
    /// Standard input reaches the program: always so
    #[arg(short, long)]
    pub interactive: bool,
    /// A terminal of its own: always so where this is one, without -T
    #[arg(short, long)]
    pub tty: bool,
    /// Folder to run it in [default: the service's own]
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<PathBuf>,
    /// Service, and what to run in place of its command: all that follows is the program's
    // One argument for both, so that the program's own -h is not taken for ours.
    #[arg(required = true, trailing_var_arg = true, value_names = ["SERVICE", "COMMAND"], num_args = 1..)]
    pub words: Vec<String>,
}

pub(super) fn run(global: &Global, run: &Run) -> Result<u8, Failure> {
    let inherited = launch::inherited_descriptors();
    let (service, argv) = run.words.split_first().ok_or_else(|| {
        Failure::new(Code::Usage, "error: name a service") // clap has seen to it
    })?;
    let loaded = project::load_with(global, [service])?;
    let state = loaded.state.clone();
    let names = [service.clone()];
    let mut needed = change::selected(&loaded.project, &names, run.no_deps)?;
    needed.remove(service);
    make_ready(global, loaded, service, &needed, inherited)?;
    let tty = !run.no_tty && is_terminal();
    let request = Request::Run(protocol::Run {
        service: service.clone(),
        name: run.name.clone(),
        entrypoint: run.entrypoint.clone().map(|program| vec![program]),
        argv: argv.to_vec(),
        env: variables(&run.env, tty),
        cwd: run.workdir.clone(),
        terminal: tty.then(window),
    });
    stream(&state, request, tty, false, Patience::ForThree)
}

/// Sees to a lab in which the service is known and what it needs runs: one at a time.
fn make_ready(
    global: &Global,
    loaded: Loaded,
    service: &str,
    needed: &BTreeSet<String>,
    inherited: Vec<RawFd>,
) -> Result<(), Failure> {
    let state = loaded.state.clone();
    if state.is_up() && !loaded.is_more && needed.is_empty() {
        return Ok(());
    }
    let turn = turn::take(&state)?;
    if !state.is_up() {
        return bring_up(global, loaded, needed, inherited, turn);
    }
    if loaded.is_more {
        return make_known(&loaded, service, needed);
    }
    if needed.is_empty() {
        return Ok(());
    }
    let status = ps::status(&state)?;
    let runs = |name: &str| status.instances.iter().any(|one| one.service == name);
    let scale: BTreeMap<String, u32> = needed
        .iter()
        .filter(|name| !runs(name))
        .filter_map(|name| Some((name.clone(), loaded.project.services.get(name)?.replicas)))
        .collect();
    let wait_ms = Some(millis(WAIT));
    let ended = change::scale(&loaded, &status, scale, needed.clone(), wait_ms)?;
    has_come(service, &ended)
}

/// Has the lab that runs read the file with a service whose profiles were off, and start what that depends on.
fn make_known(loaded: &Loaded, service: &str, needed: &BTreeSet<String>) -> Result<(), Failure> {
    let status = ps::status(&loaded.state)?;
    let own = status.instances.iter().filter(|one| one.service == service);
    let count = u32::try_from(own.count()).unwrap_or(u32::MAX);
    let up = Up {
        no_recreate: true,
        scale: vec![(service.to_owned(), count)],
        ..Up::default()
    };
    let mut services = needed.clone();
    services.insert(service.to_owned());
    has_come(service, &change::apply(loaded, &status, &up, services)?)
}

fn has_come(service: &str, needed: &Ended) -> Result<(), Failure> {
    if needed.code == 0 {
        return Ok(());
    }
    let why = format!("error: {service} was not run: what it depends on did not come up");
    Err(Failure::new(Code::Failed, why))
}

/// Brings the lab up with these services alone.
fn bring_up(
    global: &Global,
    loaded: Loaded,
    needed: &BTreeSet<String>,
    inherited: Vec<RawFd>,
    turn: Option<Turn>,
) -> Result<(), Failure> {
    if let Some(refusal) = stranger::refusal(loaded.state.path()) {
        return Err(refusal);
    }
    let mut up = Up {
        detach: true,
        services: needed.iter().cloned().collect(),
        ..Up::default()
    };
    if needed.is_empty() {
        // Without a name all would be meant.
        let all = loaded.project.services.keys();
        up.scale = all.map(|name| (name.clone(), 0)).collect();
    }
    match up::bring_up(global, loaded, &up, inherited, turn)? {
        0 => Ok(()),
        code => Err(Failure {
            code,
            message: String::new(), // it has said why
        }),
    }
}
