//! What a stack is made of, and that nothing of it stays: not after a failure, nor after `kill -9` of this test.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::Result;

use crate::docker::docker;

/// Begins the name of every project of this test; the process id follows.
const PREFIX: &str = "underlay-test-";
/// Compose's own label.
const PROJECT: &str = "com.docker.compose.project";
/// The label of what this test puts beside a stack, to look at it from inside.
pub(crate) const BESIDE: &str = "underlay.test";

/// Removes containers, networks and volumes of the project `$1`.
const REMOVE: &str = "set -e
for label in com.docker.compose.project underlay.test; do
  docker ps --all --quiet --filter label=$label=$1 | xargs -r docker rm --force --volumes
  docker network ls --quiet --filter label=$label=$1 | xargs -r docker network rm
  docker volume ls --quiet --filter label=$label=$1 | xargs -r docker volume rm --force
done";
/// Waits for this test's end of the pipe to close; a line says that nothing is left to do. What the engine was still creating
/// when the test was killed is there a moment later, hence three times.
const WATCH: &str = "read -r _ && exit; for _ in 1 2 3; do sh -c \"$0\" remove \"$1\"; sleep 1; done >/dev/null 2>&1";

/// A project name that no other run has.
pub(crate) fn own_name(story: &str) -> String {
    format!("{PREFIX}{}-{story}", std::process::id())
}

/// A shell that removes the project when this process is gone, however it ended.
pub(crate) fn watcher(name: &str) -> Result<Child> {
    Ok(Command::new("sh")
        .args(["-c", WATCH, REMOVE, name])
        .stdin(Stdio::piped())
        .process_group(0)
        .spawn()?)
}

/// Removes the project here and now, and tells its watcher when that went well.
pub(crate) fn remove(name: &str, watcher: Option<ChildStdin>) {
    let removed = Command::new("sh")
        .args(["-c", REMOVE, "remove", name])
        .stdout(Stdio::null())
        .status();
    if removed.is_ok_and(|status| status.success())
        && let Some(mut watcher) = watcher
    {
        let _ = watcher.write_all(b"removed\n"); // else the watcher does it once more
    }
}

/// Removes what runs have left that are over: their machine went down, or their watcher was killed with them.
pub(crate) async fn sweep() -> Result<()> {
    let mut names = BTreeSet::new();
    for kind in ["container", "network", "volume"] {
        let label = format!("{{{{.Label \"{PROJECT}\"}}}}");
        let mut list = vec![kind, "ls", "--filter", "label=com.docker.compose.project"];
        list.extend(["--format", &label]);
        if kind == "container" {
            list.push("--all");
        }
        names.extend(docker(&list).await?.lines().map(str::to_owned));
    }
    for name in names.iter().filter(|name| is_over(name)) {
        let mut remove = crate::docker::mortal("sh");
        remove.args(["-c", REMOVE, "remove", name]);
        crate::docker::expect(remove, std::time::Duration::from_secs(60)).await?;
    }
    Ok(())
}

/// Whether `name` is a project of a run whose process is gone.
fn is_over(name: &str) -> bool {
    let of_test = name.strip_prefix(PREFIX);
    let pid = of_test.and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
    pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
}

/// Every container, network and volume of a project.
pub(crate) async fn of(name: &str) -> Result<BTreeSet<String>> {
    let label = format!("label={PROJECT}={name}");
    let mut found = BTreeSet::new();
    for (kind, format) in [
        ("container", "{{.Names}}"),
        ("network", "{{.Name}}"),
        ("volume", "{{.Name}}"),
    ] {
        let mut list = vec![kind, "ls", "--filter", &label, "--format", format];
        if kind == "container" {
            list.push("--all");
        }
        let names = docker(&list).await?;
        found.extend(names.lines().map(|name| format!("{kind} {name}")));
    }
    Ok(found)
}
