//! The same file under docker-compose 1.29, which distributions still carry.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use test_support::{Steps, eventually_within};

use crate::docker::{expect, mortal, run, said};
use crate::engine::Engine;
use crate::shop::{seconds, timed};
use crate::stack::{DEADLINE, Stack};
use crate::{hardening, leftovers, shopper};

/// It does not wait for health by itself.
const HEALTHY: Duration = Duration::from_secs(90);

pub(crate) async fn tell(steps: &mut Steps, engine: &Engine) {
    const NAME: &str = "docker-compose 1.29 brings the shop up";
    let version = match version().await {
        Ok(version) => version,
        Err(why) => return steps.skip(NAME, &format!("{why:#}")),
    };
    let Some(stack) = steps
        .step("old: a stack of its own", Stack::new(engine, "old", &[]))
        .await
    else {
        return;
    };
    let Some(took) = steps.step(NAME, timed(up(&stack))).await else {
        return;
    };
    steps.figure(
        &format!("old: `up` by {version} to all healthy, s"),
        seconds(took),
    );
    steps
        .step("old: an order is placed", shopper::order(&stack))
        .await;
    steps
        .step(
            "old: the engine has noted the same",
            hardening::noted(&stack),
        )
        .await;
    steps
        .step("old: `down --volumes` leaves nothing", gone(&stack))
        .await;
}

/// # Errors
/// Why there is none.
async fn version() -> Result<String> {
    let mut command = mortal("docker-compose");
    command.args(["version", "--short"]);
    let output = run(command, DEADLINE).await?;
    ensure!(
        output.status.success(),
        "it is not installed (Debian 12: apt-get install docker-compose)"
    );
    let version = String::from_utf8(output.stdout)?.trim().to_owned();
    ensure!(
        version.starts_with("1.29"),
        "docker-compose is {version} here"
    );
    Ok(version)
}

async fn up(stack: &Stack) -> Result<()> {
    expect(stack.old_command(&["up", "--detach"]), DEADLINE).await?;
    let services = stack.services()?.count();
    eventually_within(HEALTHY, "all are healthy", || async {
        let running = stack.running().await?;
        let healthy = running.iter().filter(|one| one.is_healthy()).count();
        ensure!(healthy + 1 == services, "{healthy} of {services}"); // the mint is over
        Ok(())
    })
    .await
}

async fn gone(stack: &Stack) -> Result<()> {
    let down = stack.old_command(&["down", "--volumes"]);
    let output = run(down, DEADLINE).await?;
    ensure!(output.status.success(), "{}", said(&output));
    let there = leftovers::of(&stack.name).await.context("looking")?;
    ensure!(there.is_empty(), "left behind: {there:?}");
    Ok(())
}
