//! Programs that the story runs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

/// What takes longer hangs; images that have to be built first are the exception.
const DEADLINE: Duration = Duration::from_secs(45 * 60);

/// A command that ends when this test does, however that ends. (The signal comes when the *thread* that started it is gone:
/// this test starts everything from its one thread.)
pub(crate) fn mortal<S: AsRef<OsStr>>(program: S) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "TERM", "--"])
        .arg(program)
        .current_dir(project())
        .env_remove("IMAGES") // whoever runs this may deploy others
        .env_remove("REGISTRIES")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Runs a command, whatever comes of it.
pub(crate) async fn run(mut command: Command) -> Result<Output> {
    let shown = format!("{:?}", command.as_std());
    tokio::time::timeout(DEADLINE, command.output())
        .await
        .with_context(|| format!("{shown}: hangs"))?
        .context(shown)
}

/// Runs a command and insists on success: its standard output.
pub(crate) async fn expect(command: Command) -> Result<String> {
    let shown = format!("{:?}", command.as_std());
    let output = run(command).await?;
    ensure!(output.status.success(), "{shown}: {}", said(&output));
    Ok(String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned())
}

/// Everything a command said.
pub(crate) fn said(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    format!("{}\n{out}{err}", output.status)
}

/// The folder of docker-compose.yml.
pub(crate) fn project() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).unwrap_or(own).to_owned()
}
