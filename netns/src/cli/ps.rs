//! `ps`: what runs.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;

use super::args::{Global, Json};
use super::failure::{Code, Failure};
use super::summary::paragraph;
use super::terminal::{Paint, QUOTED, counted, cut, duration, out, table};
use super::{project, until, uplink};
use crate::compose::byte_size;
use crate::lab::client::Client;
use crate::lab::protocol::{InstanceState, InstanceStatus, Reply, Request, Status};
use crate::lab::state::StateDir;

pub(super) fn run(global: &Global, form: &Json) -> Result<u8, Failure> {
    let state = project::find_up(global)?;
    let status = status(&state)?;
    if form.json {
        out(&format!("{}\n", serde_json::to_string_pretty(&status)?))?;
    } else {
        out(&shown(&status))?;
    }
    Ok(0)
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

/// The status as a table, and the last words of what is in trouble.
pub(super) fn shown(status: &Status) -> String {
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
    let mut text = table(
        &["NAME", "STATE", "ADDRESS", "PID", "UPTIME", "RESTARTS"],
        &[3, 4, 5],
        &rows,
    );
    if let Some(uplink) = &status.uplink {
        text.push('\n');
        text.push_str(&uplink::reachable("", &uplink.direct));
    }
    if let Some(why) = &status.unenforced {
        text.push('\n');
        text.push_str(&paragraph("", &format!("limits are not enforced: {why}")));
    }
    for instance in status.instances.iter().filter(|one| one.oom_killed) {
        let limit = instance.limits.memory.map_or_else(String::new, |memory| {
            format!(" at its memory limit of {}", byte_size(memory))
        });
        text.push_str(&format!(
            "\n{} was oom-killed{limit}, {}\n",
            paint.bad(&instance.name),
            counted(instance.restarts as usize, "restart", "restarts")
        ));
    }
    for instance in status
        .instances
        .iter()
        .filter(|instance| !instance.tail.is_empty())
    {
        let code = instance
            .exit_code
            .map_or_else(String::new, |code| format!(", last exit code {code}"));
        text.push_str(&format!(
            "\n{}{code}; the last lines of its log:\n",
            paint.bad(&instance.name)
        ));
        for line in &instance.tail {
            text.push_str(&format!("  {}\n", cut(line, QUOTED)));
        }
    }
    text
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
