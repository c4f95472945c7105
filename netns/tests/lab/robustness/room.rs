//! Logs that grow, and a disk without room for them.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use netns_setup::lab::logs;
use test_support::eventually;

use super::answers;
use crate::residue::Snapshot;
use crate::setting::{Lab, behind, said};

/// What a pipe holds (`pipe(7)`), and so what may come at once.
const PIPE: u64 = 64 * 1024;

/// No file of a log is ever longer than it may be, and what was turned over is whole, however fast it is written.
pub(super) async fn flood(lab: &Lab<'_>, flags: &Path) -> Result<String> {
    const LIMIT: u64 = logs::LIMIT;
    let folder = lab.state().join("logs");
    let size = |name: &str| std::fs::metadata(folder.join(name)).map_or(0, |found| found.len());
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
    ensure!(most <= LIMIT, "{most} bytes were seen");
    eventually("all that was written fast has been recorded", || async {
        let last = logs::tail(&folder.join("writer-1.log"), 1);
        let is_slow = last.iter().any(|line| line.starts_with("line at "));
        ensure!(is_slow, "{last:?}");
        Ok(())
    })
    .await?;
    for name in ["writer-1.log.1", "writer-1.log.2"] {
        let text = std::fs::read(folder.join(name))?;
        ensure!(
            text.len() as u64 <= LIMIT && text.len() as u64 > LIMIT - 2 * PIPE,
            "{name}: {} bytes",
            text.len()
        );
        let is_whole = |line: &[u8]| line.len() == 99 || line.starts_with(b"line at ");
        let mut lines = text.split(|byte| *byte == b'\n');
        ensure!(lines.next_back() == Some(b""), "{name} ends within a line");
        ensure!(lines.all(is_whole), "{name} has half a line");
    }
    for entry in std::fs::read_dir(&folder)? {
        use std::os::unix::fs::PermissionsExt;
        let entry = entry?;
        let mode = entry.metadata()?.permissions().mode() & 0o777;
        ensure!(mode == 0o600, "{}: {mode:o}", entry.path().display());
    }
    Ok(format!(
        "seen to be turned over {turned} times, {most} bytes at most"
    ))
}

/// On a file system of its own, in a mount namespace of its own: `$1` is its size, the rest netns-setup on the lab.
const FULL: &str = r#"
size=$1; shift
mount -t tmpfs -o size=$size,mode=0700 tmpfs "$NETNS_STATE_DIR"
fill() { cat /dev/zero >"$NETNS_STATE_DIR/filler" 2>/dev/null || :; }
until_ps() { i=0; while ! "$@" ps 2>&1 | grep -q "$word"; do i=$((i + 1)); [ $i -lt 100 ] || exit 3; sleep 0.1; done; }
"$@" up -d || exit 2
trap '"$@" down >/dev/null 2>&1' EXIT
fill
word='disk is full' until_ps "$@"
"$@" exec -T writer /bin/echo exec answers || exit 4
"$@" exec -T writer /bin/sh -c 'yes lost | head -c 100000 >/proc/1/fd/1' || exit 8
rm "$NETNS_STATE_DIR/filler"
i=0; until "$@" logs writer | sed -n '/the disk was full: [0-9]* bytes are missing here/,$p' | grep 'line at'; do i=$((i + 1)); [ $i -lt 100 ] || exit 5; sleep 0.1; done
fill
"$@" down || exit 6
fill
code=0; "$@" up -d || code=$?
[ $code -eq 69 ] || exit 7
rm "$NETNS_STATE_DIR/filler"
"$@" up -d && echo up after that
"#;

pub(super) async fn full(lab: &Lab<'_>, folder: &Path) -> Result<()> {
    let base = folder.join("small");
    std::fs::create_dir_all(&base)?;
    let before = Snapshot::take()?;
    let lab = lab.twin(&base)?;
    let mut script = Command::new("timeout");
    script.args(["120", "unshare", "--mount"]);
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
        "error: no room is left in",
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
