//! Services that are on when they are named.

use anyhow::{Result, ensure};

use crate::setting::{Lab, Setting, UP};

/// `tool` and `twin` are on together; `once` is asked for by nobody but `run`.
const FILE: &str = r#"
services:
  app:
    entrypoint: [perl, -MIO::Socket::INET, -e, "my $$l = IO::Socket::INET->new(LocalPort => 8080, Listen => 8); 1 while $$l->accept"]
    networks: [only]
  tool: &tool
    entrypoint: [/bin/sleep, "3600"]
    profiles: [debug]
    stop_signal: SIGKILL
    networks: [only]
  twin: { <<: *tool }
  once: { <<: *tool, profiles: [other], depends_on: [app] }
x-flows:
  - tool -> app:8080
networks:
  only: { ipam: { config: [ { subnet: "${FRONTEND_PREFIX}.0/24" } ] } }
"#;

pub(super) async fn turn_on(setting: &Setting) -> Result<()> {
    let file = super::written(setting, "profiles", FILE)?;
    let lab = Lab::new(setting, "profiles", file)?;
    lab.expect(&UP).await?;
    ensure!(names(&lab).await? == ["app-1"], "a profile is on");
    lab.expect(&[&UP[..], &["tool"]].concat()).await?;
    ensure!(names(&lab).await? == ["app-1", "tool-1"], "up tool");

    // Off again, it is left alone, with what it may reach; and so it is when another one is turned on beside it.
    let before = lab.instances().await?;
    lab.expect(&UP).await?;
    reaches(&lab).await?;
    let run = [
        "run",
        "-T",
        "--entrypoint",
        "/bin/sh",
        "once",
        "-c",
        "echo $HOSTNAME",
    ];
    ensure!(lab.expect(&run).await? == "once-run-1\n", "run once");
    reaches(&lab).await?;
    ensure!(lab.instances().await? == before, "somebody was disturbed");
    lab.expect(&["down"]).await.map(drop)
}

async fn names(lab: &Lab<'_>) -> Result<Vec<String>> {
    let names = lab.expect(&["ps", "-q"]).await?;
    Ok(names.lines().map(str::to_owned).collect())
}

async fn reaches(lab: &Lab<'_>) -> Result<()> {
    let dial = "print IO::Socket::INET->new('app:8080') ? 'open' : 'closed'";
    let exec = [
        "exec",
        "-T",
        "tool",
        "perl",
        "-MIO::Socket::INET",
        "-e",
        dial,
    ];
    let told = lab.expect(&exec).await?;
    ensure!(told == "open", "tool -> app is {told}");
    Ok(())
}
