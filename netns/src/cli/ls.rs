//! `ls`: the labs of this user on this machine.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::args::Global;
use super::failure::Failure;
use super::output::Output;
use super::terminal::{Paint, duration, out};
use super::{project, ps, stranger};
use crate::columns::fitting;
use crate::lab::protocol::{InstanceState, Status};
use crate::lab::state::StateDir;

/// Columns of the Compose file in the table.
const FILE: usize = 30;

/// `ls`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  netns-setup ls
  netns-setup ls --all
  netns-setup ls -q | xargs -n 1 netns-setup down -p

A lab is found by its folder below --state-dir. One that was killed is not up,
whatever it left there. SINCE is how long it has been up.")]
pub(super) struct Ls {
    /// Those that are down as well: their volumes and logs are kept
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
        out(&shown(&labs))?;
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
    let runs = |state: InstanceState| {
        use InstanceState::{Healthy, Running, Starting, Unhealthy};
        matches!(state, Healthy | Running | Starting | Unhealthy)
    };
    Found {
        name,
        status: word,
        running: instances
            .clone()
            .filter(|instance| runs(instance.state))
            .count(),
        instances: instances.count(),
        files: status
            .as_ref()
            .map_or_else(Vec::new, |status| status.files.clone()),
        uptime_ms: status.as_ref().map(|status| status.uptime_ms),
        pid: status.as_ref().map(|status| status.pid),
        state_dir: state.path().to_owned(),
    }
}

fn shown(labs: &[Found]) -> String {
    let paint = Paint::stdout();
    let dash = || "-".to_owned();
    let rows: Vec<Vec<String>> = labs
        .iter()
        .map(|lab| {
            let status = match lab.status {
                "up" => paint.good(lab.status),
                "silent" | "other version" => paint.bad(lab.status),
                other => other.to_owned(),
            };
            let file = lab.files.first().map_or_else(dash, |file| {
                let file = file.display().to_string();
                tail(&file, FILE)
            });
            vec![
                lab.name.clone(),
                status,
                format!("{}/{}", lab.running, lab.instances),
                lab.uptime_ms.map_or_else(dash, duration),
                file,
            ]
        })
        .collect();
    let heads = ["NAME", "STATUS", "RUNNING", "SINCE", "COMPOSE FILE"];
    fitting(&heads, &[2, 3], &rows)
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

    #[test]
    fn a_long_path_keeps_its_end() {
        assert_eq!(tail("/a/compose.yaml", 20), "/a/compose.yaml");
        assert_eq!(tail("/a/compose.yaml", 13), "…compose.yaml");
    }
}
