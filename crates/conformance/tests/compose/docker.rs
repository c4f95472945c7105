//! Docker's command line: the oracle of everything here.

use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

/// What takes longer hangs; building the images is the exception.
const DEADLINE: Duration = Duration::from_secs(150);

/// A command that ends when this test does, however that ends, so that nothing is created after the clean-up. (The signal
/// comes when the *thread* that started it is gone: this test starts everything from its one thread.)
pub(crate) fn mortal(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "TERM", "--", program])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Runs a command, whatever comes of it.
pub(crate) async fn run(mut command: Command, deadline: Duration) -> Result<Output> {
    let shown = shown(&command);
    tokio::time::timeout(deadline, command.output())
        .await
        .with_context(|| format!("{shown}: hangs"))?
        .context(shown)
}

/// Runs a command and insists on success: its standard output.
pub(crate) async fn expect(command: Command, deadline: Duration) -> Result<String> {
    let shown = shown(&command);
    let output = run(command, deadline).await?;
    ensure!(output.status.success(), "{shown}: {}", said(&output));
    Ok(String::from_utf8(output.stdout)?)
}

fn shown(command: &Command) -> String {
    let words = command.as_std().get_args().skip(3); // setpriv's own
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// `docker ARGUMENTS`, insisting on success: its standard output without the last line's end.
pub(crate) async fn docker(arguments: &[&str]) -> Result<String> {
    let mut command = mortal("docker");
    command.args(arguments);
    Ok(expect(command, DEADLINE).await?.trim_end().to_owned())
}

/// `docker ARGUMENTS`, whatever comes of it.
pub(crate) async fn try_docker(arguments: &[&str]) -> Result<Output> {
    let mut command = mortal("docker");
    command.args(arguments);
    run(command, DEADLINE).await
}

/// `docker inspect` of one object.
pub(crate) async fn inspect(kind: &str, name: &str) -> Result<Value> {
    let mut all: Vec<Value> =
        serde_json::from_str(&docker(&[kind, "inspect", name]).await?).context("docker inspect")?;
    all.pop().with_context(|| format!("no {kind} {name}"))
}

/// Everything a command said, for messages.
pub(crate) fn said(output: &Output) -> String {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    format!("{}\n{out}{err}", output.status)
}
