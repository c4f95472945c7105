//! `ps`: what runs.

pub(super) mod ports;
pub(super) mod standing;
mod table;

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;

use clap::Args;

use super::args::Global;
use super::failure::{Code, Failure};
use super::output::Output;
use super::terminal::{Paint, columns, counted, out, remark, say};
use super::{project, remarks};
use crate::columns::choice;
use crate::lab::client::Client;
use crate::lab::protocol::{InstanceState, InstanceStatus, Reply, Request, Status};
use crate::lab::state::StateDir;
use standing::Standing;

/// `ps`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  netns-setup ps
  netns-setup ps -a                   also what has completed or was stopped
  netns-setup ps product-service
  netns-setup ps --status exited
  netns-setup ps --format json | jq '.instances[] | .name, .state'
  netns-setup logs $(netns-setup ps -q product-service)

STATE is healthy or unhealthy where the service has a health check. What failed
or keeps ending is always shown. PORTS are the service's: connections are spread
over its instances. On a terminal that is too narrow the table goes without
RESTARTS, if there were none, and PID, counts ports after the first, and has
short names; --no-trunc, or a pipe, has all. The table alone goes to standard
output; notes, and the last lines of the logs of what is in trouble, to standard
error. Why limits are not enforced is told with --all, and in JSON. JSON is
about all instances, also those that are over, unless some are chosen.

Docker's words for --status: running (here starting, running, healthy, unhealthy
or stopping), exited (completed, failed or stopped), paused, restarting, created
(waiting), and removing and dead, as nothing is here. This program's own words
do as well: waiting, starting, healthy, unhealthy, completed, failed, stopping,
stopped.")]
pub(super) struct Ps {
    /// Those that have completed or were stopped as well, one-off instances
    /// (`run`), and every note
    #[arg(short, long)]
    pub all: bool,
    /// Names of instances only
    #[arg(short, long)]
    pub quiet: bool,
    /// Names of services only
    #[arg(long, conflicts_with = "quiet")]
    pub services: bool,
    /// Those in this state; may be given again
    #[arg(long, value_name = "STATE", value_enum, hide_possible_values = true)]
    pub status: Vec<Standing>,
    /// The same: status=STATE
    #[arg(long, value_name = "FILTER", value_parser = standing::filter)]
    pub filter: Vec<Standing>,
    /// Whole names, and every column and port, on a terminal too
    #[arg(long)]
    pub no_trunc: bool,
    /// Services that the file has no more are listed until `up` removes them: always so
    #[arg(long, hide = true)]
    pub orphans: bool,
    #[command(flatten)]
    pub output: Output,
    /// Services or instances [default: all]
    #[arg(value_name = "SERVICE")]
    pub wanted: Vec<String>,
}

pub(super) fn run(global: &Global, ps: &Ps) -> Result<u8, Failure> {
    let state = project::find_up(global)?;
    let mut status = status(&state)?;
    let one_offs = status.one_offs.iter();
    if ps.all
        || one_offs
            .map(|one| &one.name)
            .any(|name| ps.wanted.contains(name))
    {
        status = with_one_offs(status);
    }
    let mut instances: Vec<InstanceStatus> =
        chosen(&status, &ps.wanted)?.into_iter().cloned().collect();
    let states = [&ps.status[..], &ps.filter].concat();
    instances.retain(|one| states.is_empty() || states.iter().any(|is| is.covers(one.state)));
    if ps.output.is_json() {
        status.instances = instances;
        out(&format!("{}\n", serde_json::to_string_pretty(&status)?))?;
        return Ok(0);
    }
    let before = instances.len();
    let all = ps.all || !ps.wanted.is_empty() || !states.is_empty();
    instances.retain(|instance| all || !is_over(instance));
    let hidden = before - instances.len();
    if ps.quiet || ps.services {
        let mut names: Vec<String> = instances
            .into_iter()
            .map(|instance| {
                if ps.services {
                    instance.service
                } else {
                    instance.name
                }
            })
            .collect();
        if ps.services {
            names.sort(); // one-offs come last
        }
        names.dedup();
        let text: String = names.iter().map(|name| format!("{name}\n")).collect();
        out(&text)?;
        return Ok(0);
    }
    status.instances = instances;
    if !ps.all {
        status.unenforced = None; // `up` has said so: it is no news
    }
    let columns = if ps.no_trunc { usize::MAX } else { columns() };
    show_in(&status, columns)?;
    if hidden > 0 {
        let what = counted(hidden, "instance is over", "instances are over");
        say(&format!("{what} and not shown; see `ps --all`"));
    }
    Ok(0)
}

/// The one-off instances as instances among the others.
pub(super) fn with_one_offs(mut status: Status) -> Status {
    status.instances.append(&mut status.one_offs);
    status
}

/// Completed, or stopped on purpose.
fn is_over(instance: &InstanceStatus) -> bool {
    matches!(
        instance.state,
        InstanceState::Completed | InstanceState::Stopped
    )
}

/// The instances of these names, or of the services of these names; all when there are none.
///
/// # Errors
/// When a name is neither.
pub(super) fn chosen<'a>(
    status: &'a Status,
    wanted: &[String],
) -> Result<Vec<&'a InstanceStatus>, Failure> {
    let is = |instance: &InstanceStatus, name: &String| {
        [&instance.name, &instance.service].contains(&name)
    };
    let unknown = wanted
        .iter()
        .find(|name| !status.instances.iter().any(|instance| is(instance, name)));
    if let Some(unknown) = unknown {
        let names = status.instances.iter().map(|instance| &instance.name);
        return Err(Failure::new(
            Code::Failed,
            format!(
                "error: no service or instance is named {unknown}{}",
                choice("there are", names)
            ),
        ));
    }
    Ok(status
        .instances
        .iter()
        .filter(|instance| wanted.is_empty() || wanted.iter().any(|name| is(instance, name)))
        .collect())
}

/// Asks the lab how it stands, and adds what only the host can know.
pub(super) fn status(state: &StateDir) -> Result<Status, Failure> {
    let reply = ask(state).map_err(|error| match error.kind() {
        ErrorKind::TimedOut => mute(state),
        _ => error.into(),
    })?;
    match reply {
        Some(Reply::Status(mut status)) => {
            let host_pids = host_pids(status.pid);
            let status_of_all = &mut *status;
            let all = status_of_all.instances.iter_mut();
            for instance in all.chain(&mut status_of_all.one_offs) {
                instance.pid = instance
                    .lab_pid
                    .and_then(|pid| host_pids.get(&pid).copied());
            }
            Ok(*status)
        }
        Some(Reply::Error { message, .. }) => {
            Err(Failure::new(Code::Failed, format!("error: {message}")))
        }
        _ => Err(project::not_up(state)),
    }
}

/// Asks the lab how it stands.
pub(super) fn ask(state: &StateDir) -> std::io::Result<Option<Reply>> {
    Client::ask(&state.control(), Request::Status, &[])?.reply()
}

/// Whether a lab is there that was brought up by another version of this program: the two do not understand each other.
pub(super) fn is_of_another_version(state: &StateDir) -> bool {
    matches!(ask(state), Err(error) if error.kind() == ErrorKind::Unsupported)
}

/// A lab whose first process is stopped, or hangs.
pub(super) fn mute(state: &StateDir) -> Failure {
    Failure::new(
        Code::Failed,
        format!(
            "error: the lab does not answer\n = help: end it with `kill -9 {}`; nothing of it stays but the volumes",
            state.pid().unwrap_or_default()
        ),
    )
}

/// Prints the status as a table, and beneath it, on standard error, what is to be said of it.
pub(super) fn show(status: &Status) -> Result<(), Failure> {
    show_in(status, columns())
}

/// The same, its table in so many columns.
fn show_in(status: &Status, columns: usize) -> Result<(), Failure> {
    out(&table::shown(status, columns, Paint::stdout()))?;
    if status.held.is_none() {
        remark(&remarks::of(status, Paint::stderr()));
    }
    Ok(())
}

/// From the lab's process numbers to the host's: `NSpid` lists a process's number in every PID namespace from the reader's inward
/// (`proc_pid_status(5)`); a sandboxed process has three, the middle one being the lab's.
fn host_pids(lab: i32) -> BTreeMap<i32, i32> {
    let mut pids = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<i32>().ok())
        else {
            continue;
        };
        let Ok(text) = fs::read_to_string(entry.path().join("status")) else {
            continue;
        };
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap_or_default()
        };
        let numbers: Vec<i32> = field("NSpid:")
            .split_whitespace()
            .filter_map(|number| number.parse().ok())
            .collect();
        let parent: i32 = field("PPid:").trim().parse().unwrap_or(0);
        // Only children of the lab's own first process: another lab uses the same inner numbers.
        if let [_, inner, 1] = numbers[..]
            && parent == lab
        {
            pids.insert(inner, pid);
        }
    }
    pids
}
