//! Logs that grow, and a disk without room for them.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use test_support::eventually;

use super::answers;
use crate::residue::Snapshot;
use crate::setting::{Lab, behind, said};

/// What the lab keeps of a log, which it looks at every 50 ms while it grows fast.
pub(super) async fn flood(lab: &Lab<'_>, flags: &Path) -> Result<String> {
    const LIMIT: u64 = 10_000_000;
    let logs = lab.state().join("logs");
    let size = |name: &str| std::fs::metadata(logs.join(name)).map_or(0, |found| found.len());
    std::fs::write(flags.join("fast"), "")?;
    let (mut most, mut turned) = (0, 0);
    let mut last = 0;
    let watched = eventually("the log is turned over, again and again", || {
        let current = size("writer-1.log");
        turned += u32::from(current < last);
        (last, most) = (current, most.max(current));
        async move {
            ensure!(turned >= 8, "{turned} times");
            answers(lab).await
        }
    })
    .await;
    std::fs::remove_file(flags.join("fast"))?;
    watched?;
    eventually("the last of it is turned over", || async {
        ensure!(size("writer-1.log") <= LIMIT, "{}", size("writer-1.log"));
        Ok(())
    })
    .await?;
    for name in ["writer-1.log.1", "writer-1.log.2"] {
        ensure!(
            (1..=LIMIT).contains(&size(name)),
            "{name}: {} bytes",
            size(name)
        );
    }
    for entry in std::fs::read_dir(&logs)? {
        use std::os::unix::fs::PermissionsExt;
        let entry = entry?;
        let mode = entry.metadata()?.permissions().mode() & 0o777;
        ensure!(mode == 0o600, "{}: {mode:o}", entry.path().display());
        ensure!(!entry.path().ends_with("writer-1.log.0"), "left over");
    }
    Ok(format!(
        "turned over {turned} times, {} MB at most",
        most / 1_000_000
    ))
}

/// On a file system of its own, in a mount namespace of its own: `$1` is its size, the rest netns-setup on the lab.
const FULL: &str = r#"
size=$1; shift
mount -t tmpfs -o size=$size,mode=0700 tmpfs "$NETNS_STATE_DIR"
fill() { cat /dev/zero >"$NETNS_STATE_DIR/filler" 2>/dev/null || :; }
until_ps() { i=0; while ! "$@" ps | grep -q "$word"; do i=$((i + 1)); [ $i -lt 100 ] || exit 3; sleep 0.1; done; }
"$@" up -d || exit 2
trap '"$@" down >/dev/null 2>&1' EXIT
fill
word='disk is full' until_ps "$@"
"$@" exec -T writer /bin/echo exec answers || exit 4
rm "$NETNS_STATE_DIR/filler"
i=0; until "$@" logs writer | sed -n '/the disk was full/,$p' | grep 'line at'; do i=$((i + 1)); [ $i -lt 100 ] || exit 5; sleep 0.1; done
fill
"$@" down || exit 6
fill
if "$@" up -d; then exit 7; fi
rm "$NETNS_STATE_DIR/filler"
"$@" up -d && echo up after that
"#;

pub(super) async fn full(lab: &Lab<'_>, folder: &Path) -> Result<()> {
    let base = folder.join("small");
    std::fs::create_dir_all(&base)?;
    let before = Snapshot::take()?;
    let lab = lab.twin(&base)?;
    let mut script = Command::new("timeout");
    script.args(["60", "unshare", "--mount"]);
    if !nix::unistd::Uid::effective().is_root() {
        script.args(["--user", "--map-root-user"]);
    }
    script.args(["/bin/sh", "-c", FULL, "full", "4m"]);
    let mut script = behind(script, &lab.command(&[]));
    script.stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || script.output()).await??;
    let told = said(&output);
    for words in [
        "exec answers",
        "line at",
        "No space left on device",
        "up after that",
    ] {
        ensure!(
            output.status.success() && told.contains(words),
            "no {words:?}: {told}"
        );
    }
    before
        .is_all_there_is(&Default::default(), &lab.state())
        .await
}
