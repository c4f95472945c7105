//! The command by which docs/operations.md looks into a service that publishes no port.

use anyhow::{Context, Result, ensure};

use crate::docker::said;
use crate::stack::Stack;

/// Begins it, and is what its end asks for.
const ENTERS: &str = "$ sudo nsenter ";
const OF_COMPOSE: &str = "docker compose ps -q";

/// As it is written there, but for `sudo`: who tells this story as root needs none.
pub(crate) async fn metrics(stack: &Stack) -> Result<String> {
    let mut lines = include_str!("../../../../docs/operations.md").lines();
    let line = lines.find(|line| line.starts_with(ENTERS) && line.contains(OF_COMPOSE));
    let command = line.and_then(|line| line.strip_prefix("$ sudo "));
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("metrics.sh");
    std::fs::write(&script, command.context("no such command")?)?;
    let output = stack
        .script(script.to_str().context("its path")?, &[])
        .await?;
    let said = said(&output);
    let types = said
        .lines()
        .filter(|line| line.starts_with("# TYPE "))
        .count();
    ensure!(
        output.status.success() && types > 0 && said.contains("http_requests_total{"),
        "{said}"
    );
    Ok(format!("{types} families"))
}
