//! A child process that cannot outlive the test process, nor leave its folder behind.
//!
//! Destructors do not run when a test process aborts, is killed, or simply exits with a server in a `static`. So every
//! program is started by a small shell, the *guard*, that holds the read end of a pipe: the kernel closes the write end when
//! the test process ends, however it ends, and the guard then ends the program and removes the folder. (`PR_SET_PDEATHSIG`
//! would not do: it follows the *thread* that started the child, and test threads come and go.)

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User};
use tempfile::TempDir;

/// The guard: `$1` is the signal that ends the program, `$2` the folder, the rest the program.
///
/// It prints the program's process id, then its exit status. A finished program's id is never signalled: the watcher is ended
/// first.
const GUARD: &str = r#"
signal=$1; folder=$2; shift 2
exec 3<&0
"$@" </dev/null >>"$folder/log" 2>&1 3<&- &
program=$!
trap '' PIPE
echo $program
( read -r _ <&3; kill -s "$signal" $program ) >/dev/null &
watcher=$!
wait $program; status=$?
kill $watcher
echo $status
read -r _ <&3
rm -rf "$folder" || { sleep 0.5; rm -rf "$folder"; }
"#;

/// A folder of our own under /tmp, for a server's data, socket and log.
///
/// It belongs to [`unprivileged`] when there is one. Not in `TMPDIR`, which may be out of that user's reach or too long for
/// the path of a unix socket (107 bytes).
///
/// # Errors
/// When it cannot be made or given away.
pub fn folder(prefix: &str) -> Result<TempDir> {
    let folder = tempfile::Builder::new()
        .prefix(&format!("underlay-{prefix}-"))
        .tempdir_in("/tmp")?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    if let Some(user) = unprivileged()? {
        chown(
            folder.path(),
            Some(user.uid.as_raw()),
            Some(user.gid.as_raw()),
        )?;
    }
    Ok(folder)
}

/// The user that servers run as: `nobody` when the caller is root (PostgreSQL refuses to run as root), else the caller.
///
/// # Errors
/// When the machine has no user `nobody`.
pub fn unprivileged() -> Result<Option<User>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    Ok(Some(
        User::from_name("nobody")?.context("no user `nobody` to run test servers as")?,
    ))
}

/// A command that runs as [`unprivileged`], without supplementary groups.
///
/// # Errors
/// As [`unprivileged`].
pub fn unprivileged_command(program: impl AsRef<OsStr>) -> Result<Command> {
    let mut command = Command::new(program);
    if let Some(user) = unprivileged()? {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    Ok(command)
}

/// A running program and its guard.
#[derive(Debug)]
pub struct Guarded {
    guard: Child,
    reports: BufReader<ChildStdout>,
    pid: Pid,
    status: Option<i32>,
    folder: TempDir,
}

impl Guarded {
    /// Starts `argv` in `folder`, with its output appended to `folder/log`. `as_unprivileged` runs it as [`unprivileged`];
    /// `end_by` is the signal it gets when this value is dropped or the test process is gone.
    ///
    /// # Errors
    /// When the guard cannot be started.
    pub fn spawn(
        argv: &[&OsStr],
        environment: &[(String, String)],
        folder: TempDir,
        as_unprivileged: bool,
        end_by: Signal,
    ) -> Result<Self> {
        let mut command = if as_unprivileged {
            unprivileged_command("/bin/sh")?
        } else {
            Command::new("/bin/sh")
        };
        command
            .args([
                "-c",
                GUARD,
                "guard",
                end_by.as_str().trim_start_matches("SIG"),
            ])
            .arg(folder.path())
            .args(argv)
            .env_clear()
            .envs(environment.iter().map(|(key, value)| (key, value)))
            .current_dir(folder.path())
            .process_group(0) // a terminal's Ctrl-C ends the test process, and by that, in order, what it started
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut guard = command.spawn().context("starting /bin/sh")?;
        let mut reports = BufReader::new(guard.stdout.take().context("the guard's output")?);
        let pid = Pid::from_raw(report(&mut reports)?);
        Ok(Self {
            guard,
            reports,
            pid,
            status: None,
            folder,
        })
    }

    /// The program's process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// The folder that holds its `log`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it has printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        let path: PathBuf = self.folder.path().join("log");
        String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
    }

    /// Whether it still runs (a zombie does not).
    #[must_use]
    pub fn is_running(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        // "pid (name) state ...": the name may hold anything, so count from its closing parenthesis.
        self.status.is_none()
            && stat
                .rsplit(')')
                .next()
                .is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
    }

    /// Sends a signal, unless it has ended.
    pub fn signal(&self, signal: Signal) {
        if self.is_running() {
            let _ = kill(self.pid, signal);
        }
    }

    /// Waits until it has ended: its exit status, 128 + n when signal n ended it. Blocks the thread.
    ///
    /// # Errors
    /// When the guard is gone.
    pub fn wait(&mut self) -> Result<i32> {
        if self.status.is_none() {
            self.status = Some(report(&mut self.reports)?);
        }
        self.status.context("no status")
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.guard.stdin.take()); // the guard reads end of file, ends the program and removes the folder
        let _ = self.guard.wait();
    }
}

/// The next number the guard reports.
fn report(reports: &mut impl BufRead) -> Result<i32> {
    let mut line = String::new();
    reports.read_line(&mut line)?;
    line.trim()
        .parse()
        .with_context(|| format!("the guard of a test server said {line:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(seconds: &str) -> Guarded {
        let argv = ["/bin/sh", "-c", seconds].map(OsStr::new);
        Guarded::spawn(
            &argv,
            &[("PATH".into(), "/usr/bin:/bin".into())],
            folder("guard").unwrap(),
            true,
            Signal::SIGKILL,
        )
        .unwrap()
    }

    #[test]
    fn a_dropped_program_ends_and_its_folder_goes() {
        let guarded = sleeper("exec sleep 600");
        let (pid, folder) = (guarded.pid(), guarded.folder().to_owned());
        assert!(guarded.is_running() && folder.exists());
        drop(guarded);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
        assert!(!folder.exists());
    }

    #[test]
    fn reports_the_exit_status_and_keeps_the_log() {
        let mut guarded = sleeper("echo said; exit 3");
        assert_eq!(guarded.wait().unwrap(), 3);
        assert_eq!(guarded.log(), "said\n");
        let mut guarded = sleeper("exec sleep 600");
        guarded.signal(Signal::SIGTERM);
        assert_eq!(guarded.wait().unwrap(), 128 + 15);
    }

    /// The test re-runs itself as a process that is killed by -9 with a program running.
    #[test]
    fn nothing_outlives_a_killed_test_process() {
        const MARK: &str = "UNDERLAY_GUARD_SELF_TEST";
        if std::env::var_os(MARK).is_some() {
            let guarded = sleeper("exec sleep 600");
            std::fs::write(
                std::env::var(MARK).unwrap(),
                format!("{} {}", guarded.pid(), guarded.folder().display()),
            )
            .unwrap();
            kill(Pid::this(), Signal::SIGKILL).unwrap();
        }
        let note = tempfile::NamedTempFile::new().unwrap();
        Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "guard::tests::nothing_outlives_a_killed_test_process",
            ])
            .env(MARK, note.path())
            .output()
            .unwrap();
        let noted = std::fs::read_to_string(note.path()).unwrap();
        let (pid, folder) = noted.split_once(' ').unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime
            .block_on(crate::eventually("program and folder are gone", || async {
                anyhow::ensure!(
                    !Path::new(&format!("/proc/{pid}")).exists() && !Path::new(folder).exists()
                );
                Ok(())
            }))
            .unwrap();
    }
}
