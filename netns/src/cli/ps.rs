//! `ps`: what runs.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;

use clap::Args;

use super::args::Global;
use super::failure::{Code, Failure};
use super::output::Output;
use super::terminal::{Paint, counted, duration, out, remark, say};
use super::{project, remarks, until};
use crate::columns::fitting;
use crate::lab::client::Client;
use crate::lab::protocol::{InstanceState, InstanceStatus, Reply, Request, Status};
use crate::lab::state::StateDir;

/// `ps`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  netns-setup ps
  netns-setup ps -a                   also what has completed or was stopped
  netns-setup ps product-service
  netns-setup ps --format json | jq '.instances[] | .name, .state'
  netns-setup logs $(netns-setup ps -q product-service)

STATE is healthy or unhealthy where the service has a health check. What failed
or keeps ending is always shown. The table alone goes to standard output; notes,
and the last lines of the logs of what is in trouble, to standard error. JSON is
about all instances, whatever is chosen of them.")]
pub(super) struct Ps {
    /// Those that have completed or were stopped as well
    #[arg(short, long)]
    pub all: bool,
    /// Names of instances only
    #[arg(short, long)]
    pub quiet: bool,
    /// Names of services only
    #[arg(long, conflicts_with = "quiet")]
    pub services: bool,
    #[command(flatten)]
    pub output: Output,
    /// Services or instances [default: all]
    #[arg(value_name = "SERVICE")]
    pub wanted: Vec<String>,
}

pub(super) fn run(global: &Global, ps: &Ps) -> Result<u8, Failure> {
    let state = project::find_up(global)?;
    let mut status = status(&state)?;
    if ps.output.is_json() {
        out(&format!("{}\n", serde_json::to_string_pretty(&status)?))?;
        return Ok(0);
    }
    let mut instances: Vec<InstanceStatus> =
        chosen(&status, &ps.wanted)?.into_iter().cloned().collect();
    let before = instances.len();
    instances.retain(|instance| ps.all || !ps.wanted.is_empty() || !is_over(instance));
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
        names.dedup();
        let text: String = names.iter().map(|name| format!("{name}\n")).collect();
        out(&text)?;
        return Ok(0);
    }
    status.instances = instances;
    show(&status)?;
    if hidden > 0 {
        let what = counted(hidden, "instance is over", "instances are over");
        say(&format!("{what} and not shown; see `ps --all`"));
    }
    Ok(0)
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
        let names: Vec<&str> = status
            .instances
            .iter()
            .map(|instance| instance.name.as_str())
            .collect();
        return Err(Failure::new(
            Code::Failed,
            format!(
                "error: no service or instance is named {unknown}; there are: {}",
                names.join(", ")
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
            for instance in &mut status.instances {
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
    out(&table(status))?;
    if status.held.is_none() {
        remark(&remarks::of(status, Paint::stderr()));
    }
    Ok(())
}

/// The status as a table.
fn table(status: &Status) -> String {
    if let Some(held) = &status.held {
        return until::shown(held);
    }
    let paint = Paint::stdout();
    let rows: Vec<Vec<String>> = status
        .instances
        .iter()
        .map(|instance| {
            vec![
                instance.name.clone(),
                state(paint, instance),
                instance
                    .address
                    .map_or_else(|| "-".to_owned(), |address| address.to_string()),
                instance
                    .pid
                    .map_or_else(|| "-".to_owned(), |pid| pid.to_string()),
                instance.uptime_ms.map_or_else(|| "-".to_owned(), duration),
                instance.restarts.to_string(),
            ]
        })
        .collect();
    fitting(
        &["NAME", "STATE", "ADDRESS", "PID", "UPTIME", "RESTARTS"],
        &[3, 4, 5],
        &rows,
    )
}

fn state(paint: Paint, instance: &InstanceStatus) -> String {
    let word = if instance.oom_killed
        && matches!(
            instance.state,
            InstanceState::Restarting | InstanceState::Failed
        ) {
        "oom-killed"
    } else if instance.crash_loop && instance.state == InstanceState::Restarting {
        "crash loop"
    } else {
        instance.state.word()
    };
    match instance.state {
        InstanceState::Healthy | InstanceState::Running => paint.good(word),
        InstanceState::Failed | InstanceState::Unhealthy | InstanceState::Restarting => {
            paint.bad(word)
        }
        _ => word.to_owned(),
    }
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
