//! `ls`: the labs of this user on this machine.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::args::Global;
use super::failure::Failure;
use super::output::Output;
use super::ps::standing::Standing;
use super::terminal::{Paint, columns, duration, out};
use super::{project, ps, stranger};
use crate::columns::{table, width, within};
use crate::lab::protocol::{InstanceState, Status};
use crate::lab::state::StateDir;

/// Columns that the Compose file has in the table at least.
const FILE: usize = 20;

/// `ls`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  netns-setup ls
  netns-setup ls --all
  netns-setup ls -q | xargs -n 1 netns-setup down -p

A lab is found by its folder below --state-dir. One that was killed is not up,
whatever it left there. STATUS is what its instances are, as `ps` calls it, but
that running is what is healthy too; completed is a service that was to end, and
has done so well. SINCE is how long the lab has been up. On a terminal that is
too narrow the end of the Compose file's path is shown.")]
pub(super) struct Ls {
    /// Those that are down as well: `down` keeps their volumes and logs,
    /// `down --volumes` nothing
    #[arg(short, long)]
    pub all: bool,
    /// Names only
    #[arg(short, long)]
    pub quiet: bool,
    #[command(flatten)]
    pub output: Output,
}

/// One lab.
#[derive(Debug, Serialize)]
struct Found {
    name: String,
    status: &'static str,
    running: usize,
    instances: usize,
    /// How many instances are in each state.
    states: BTreeMap<&'static str, usize>,
    files: Vec<PathBuf>,
    uptime_ms: Option<u64>,
    pid: Option<i32>,
    state_dir: PathBuf,
}

pub(super) fn run(global: &Global, ls: &Ls) -> Result<u8, Failure> {
    let base = project::base(global);
    if let Some(refusal) = stranger::refusal(&base) {
        return Err(refusal);
    }
    let labs: Vec<Found> = StateDir::all(&base)
        .into_iter()
        .filter(|(_, state)| ls.all || state.is_up())
        .map(|(name, state)| found(name, &state))
        .collect();
    if ls.quiet {
        let names: String = labs.iter().map(|lab| format!("{}\n", lab.name)).collect();
        out(&names)?;
    } else if ls.output.is_json() {
        out(&format!("{}\n", serde_json::to_string_pretty(&labs)?))?;
    } else {
        out(&shown(&labs, columns(), Paint::stdout()))?;
    }
    Ok(0)
}

fn found(name: String, state: &StateDir) -> Found {
    let up = state.is_up();
    let status: Option<Status> = up.then(|| ps::status(state).ok()).flatten();
    let word = match &status {
        _ if !up => "down",
        None if ps::is_of_another_version(state) => "other version",
        None => "silent",
        Some(status) if status.stopping => "stopping",
        Some(status) if status.ready_ms.is_none() => "starting",
        Some(_) => "up",
    };
    let instances = status.iter().flat_map(|status| &status.instances);
    let mut states = BTreeMap::new();
    for instance in instances.clone() {
        *states.entry(instance.state.word()).or_default() += 1;
    }
    Found {
        name,
        status: word,
        states,
        running: instances
            .clone()
            .filter(|instance| Standing::Running.covers(instance.state))
            .count(),
        instances: instances.count(),
        files: status
            .as_ref()
            .map_or_else(Vec::new, |status| status.files.clone()),
        uptime_ms: status.as_ref().map(|status| status.uptime_ms),
        // One that does not answer has noted it.
        pid: up.then(|| state.pid()).flatten(),
        state_dir: state.path().to_owned(),
    }
}

fn shown(labs: &[Found], columns: usize, paint: Paint) -> String {
    let dash = || "-".to_owned();
    let heads = ["NAME", "STATUS", "SINCE", "COMPOSE FILE"];
    let rows = |room: usize| -> Vec<Vec<String>> {
        let row = |lab: &Found| {
            let file = lab.files.first();
            vec![
                lab.name.clone(),
                standing(lab, paint),
                lab.uptime_ms.map_or_else(dash, duration),
                file.map_or_else(dash, |file| tail(&file.display().to_string(), room)),
            ]
        };
        labs.iter().map(row).collect()
    };
    let whole = rows(usize::MAX);
    let text = table(&heads, &[2], &whole);
    let surplus = width(&text).saturating_sub(columns);
    if surplus == 0 {
        return text;
    }
    let path = |row: &Vec<String>| row.last().map_or(0, |path| path.chars().count());
    let longest = whole.iter().map(path).max().unwrap_or(0);
    let room = longest.saturating_sub(surplus).max(FILE);
    within(columns, &heads, &[2], &rows(room))
}

/// `running(6), completed(1)`, in Docker's form; one word of a lab that has no instances, or does not tell.
fn standing(lab: &Found, paint: Paint) -> String {
    let word = match lab.status {
        "up" => paint.good(lab.status),
        "silent" | "other version" => paint.bad(lab.status),
        other => other.to_owned(),
    };
    if lab.states.is_empty() {
        return word;
    }
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for state in ORDER {
        let (word, count) = (called(state), lab.states.get(state.word()).copied());
        match (counts.last_mut(), count) {
            (_, None) => {}
            (Some((last, so_far)), Some(count)) if *last == word => *so_far += count,
            (_, Some(count)) => counts.push((word, count)),
        }
    }
    let each = counts.iter().map(|(word, count)| {
        let text = format!("{word}({count})");
        match *word {
            "running" => paint.good(&text),
            "unhealthy" | "restarting" | "failed" => paint.bad(&text),
            _ => text,
        }
    });
    each.collect::<Vec<_>>().join(", ")
}

/// In which the states of instances are told.
const ORDER: [InstanceState; 12] = {
    use InstanceState::*;
    [
        Healthy, Running, Paused, Starting, Waiting, Unhealthy, Restarting, Failed, Completed,
        Stopping, Stopped, Removed,
    ]
};

/// Whether or not something has a health check, it runs.
fn called(state: InstanceState) -> &'static str {
    match state {
        InstanceState::Healthy => InstanceState::Running.word(),
        other => other.word(),
    }
}

/// The end of a path, which tells more than its beginning.
fn tail(path: &str, columns: usize) -> String {
    let surplus = path.chars().count().saturating_sub(columns);
    if surplus == 0 {
        return path.to_owned();
    }
    ['…']
        .into_iter()
        .chain(path.chars().skip(surplus + 1))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_without_a_lab_is_no_lab() {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join("other")).unwrap();
        let state = StateDir::new(base.path(), "shop").unwrap();
        state.create().unwrap();
        drop(state.try_lock().unwrap());
        state.write_pid(1).unwrap();
        let folders = StateDir::all(base.path());
        assert_eq!(folders.len(), 1);
        let lab = found("shop".into(), &folders[0].1);
        assert_eq!(
            (lab.status, lab.pid),
            ("down", None),
            "a killed lab is not up"
        );
        assert!(StateDir::all(&base.path().join("none")).is_empty());
    }

    fn lab(states: &[(&'static str, usize)]) -> Found {
        Found {
            name: "underlay".to_owned(),
            status: "up",
            running: 6,
            instances: 7,
            states: states.iter().copied().collect(),
            files: vec!["/home/somebody/projects/underlay/docker-compose.yml".into()],
            uptime_ms: Some(346_000),
            pid: Some(1),
            state_dir: PathBuf::new(),
        }
    }

    #[test]
    fn a_lab_that_is_well_looks_so() {
        let said = |states: &[(&'static str, usize)]| standing(&lab(states), Paint::none());
        assert_eq!(
            said(&[("completed", 1), ("healthy", 5), ("running", 1)]),
            "running(6), completed(1)"
        );
        assert_eq!(
            said(&[
                ("failed", 1),
                ("healthy", 1),
                ("stopped", 2),
                ("unhealthy", 3)
            ]),
            "running(1), unhealthy(3), failed(1), stopped(2)"
        );
        assert_eq!(said(&[]), "up");
    }

    #[test]
    fn a_path_is_whole_where_there_is_room() {
        let labs = [lab(&[("healthy", 6), ("completed", 1)])];
        let last = |columns| {
            let text = shown(&labs, columns, Paint::none());
            assert!(width(&text) <= columns, "{text}");
            text.lines().last().unwrap_or_default().to_owned()
        };
        assert_eq!(
            last(usize::MAX),
            "underlay  running(6), completed(1)  5m46s  /home/somebody/projects/underlay/docker-compose.yml"
        );
        assert_eq!(
            last(80),
            "underlay  running(6), completed(1)  5m46s  …projects/underlay/docker-compose.yml"
        );
    }

    #[test]
    fn a_long_path_keeps_its_end() {
        assert_eq!(tail("/a/compose.yaml", 20), "/a/compose.yaml");
        assert_eq!(tail("/a/compose.yaml", 13), "…compose.yaml");
    }
}
