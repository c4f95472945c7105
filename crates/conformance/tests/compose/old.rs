//! The same file under docker-compose 1.29, which distributions still carry.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use test_support::{Steps, eventually_within};

use crate::docker::{docker, expect, inspect, mortal, run, said};
use crate::engine::{BUILD_DEADLINE, Engine};
use crate::shop::{seconds, timed};
use crate::stack::{DEADLINE, Stack};
use crate::unfit::NO_PLUGIN;
use crate::{hardening, instead, leftovers, rotation, shopper};

/// It does not wait for health by itself.
const HEALTHY: Duration = Duration::from_secs(90);

pub(crate) async fn tell(steps: &mut Steps, engine: &Engine) {
    const NAME: &str = "docker-compose 1.29 brings the shop up";
    let version = match version().await {
        Ok(version) => version,
        Err(why) => return steps.lacks(NAME, &format!("{why:#}")),
    };
    let Some(stack) = steps
        .step("old: a stack of its own", Stack::new(engine, "old", &[]))
        .await
    else {
        return;
    };
    if engine.builds() {
        let name = "old: it builds an image, too, when it is asked for BuildKit";
        if let Some(took) = steps.step(name, timed(builds(&stack))).await {
            steps.figure(
                "old: an image built that was built before, s",
                seconds(took),
            );
        }
    }
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
    if let Some(folder) = steps
        .step("old: a place for what is saved", async {
            Ok(tempfile::tempdir()?)
        })
        .await
    {
        by_scripts(steps, &stack, folder.path()).await;
    }
    steps
        .step("old: `down --volumes` leaves nothing", gone(&stack))
        .await;
}

/// What `make` calls finds the shop, and does its work, where there is no other Compose.
async fn by_scripts(steps: &mut Steps, stack: &Stack, folder: &Path) {
    let instead = match instead::of_docker(folder, NO_PLUGIN) {
        Ok(instead) => instead,
        Err(error) => return steps.fail("old: no plugin", &error),
    };
    let mut variables = vec![("WAY", OsStr::new("compose")), ("TO", folder.as_os_str())];
    for (name, value) in &instead {
        variables.push((name, OsStr::new(value)));
    }
    let saved = async {
        let output = stack.script("docker/ops/backup.sh", &variables).await?;
        ensure!(
            output.status.success() && said(&output).contains(": 1 orders and "),
            "{}",
            said(&output)
        );
        Ok(())
    };
    steps.step("old: the shop is saved", saved).await;
    rotation::tell(steps, stack, "old", &variables).await;
    let stopped = async {
        expect(stack.old_command(&["stop"]), DEADLINE).await?;
        let output = stack.script("docker/ops/backup.sh", &variables).await?;
        ensure!(
            !output.status.success()
                && said(&output).contains("PostgreSQL does not run the compose way"),
            "{}",
            said(&output)
        );
        Ok(())
    };
    steps
        .step("old: a shop that is stopped is not up", stopped)
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

/// As the README says it; under a tag of its own, which is taken away again.
async fn builds(stack: &Stack) -> Result<()> {
    const SERVICE: &str = "api-gateway";
    const TAG: &str = "test-old";
    let mut build = stack.old_command(&["build", SERVICE]);
    build.env("DOCKER_BUILDKIT", "1").env("TAG", TAG);
    expect(build, BUILD_DEADLINE).await?;
    let built = format!("underlay/{SERVICE}:{TAG}");
    let version =
        inspect("image", &built).await?["Config"]["Labels"]["org.opencontainers.image.version"]
            .clone();
    docker(&["image", "rm", &built]).await?;
    ensure!(version == TAG, "of version {version}");
    Ok(())
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
