//! A service that keeps crashing.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use test_support::eventually;

use crate::instance::kill_process;
use crate::residue::Snapshot;
use crate::setting::{Lab, Setting, UP, said};
use crate::steps::Steps;

/// Runs until its folder says that it crashes. `steady` is there to be seen undisturbed.
const FILE: &str = r#"
services:
  steady:
    entrypoint: [/bin/sh, -c, "exec sleep 3600"]
    stop_grace_period: 100ms
    networks: [only]
  frail:
    entrypoint: [/bin/sh, -c, "if [ -e /flags/crash ]; then echo cannot go on; exit 7; fi; exec sleep 3600"]
    restart: unless-stopped
    healthcheck: { test: [CMD, /bin/true], interval: 1s }
    stop_grace_period: 100ms
    volumes: ["./flags:/flags:ro"]
    networks: [only]
networks:
  only:
    ipam: { config: [ { subnet: 10.77.1.0/24 } ] }
"#;

pub(crate) async fn tell(steps: &mut Steps, setting: &Setting) {
    let file = match file(setting) {
        Ok(file) => file,
        Err(error) => return steps.fail("a small Compose file", &error),
    };
    steps
        .step(
            "a service that keeps crashing backs off and shows in ps with its last lines",
            crashes(setting, &file),
        )
        .await;
    steps
        .step(
            "a service that crashes at once fails `up`, which leaves nothing behind",
            fails(setting, &file),
        )
        .await;
}

fn file(setting: &Setting) -> Result<PathBuf> {
    let folder = setting.folder("crash")?;
    setting.folder("crash/flags")?;
    let file = folder.join("compose.yaml");
    std::fs::write(&file, FILE)?;
    Ok(file)
}

async fn crashes(setting: &Setting, file: &std::path::Path) -> Result<()> {
    let lab = Lab::new(setting, "crash", file.to_owned())?;
    lab.expect(&UP).await?;
    let steady = lab.instance("steady-1").await?;
    let flag = file.with_file_name("flags").join("crash");
    std::fs::write(&flag, "")?;
    kill_process(lab.instance("frail-1").await?.pid.context("frail-1 runs")?)?;
    eventually("ps shows a crash loop", || async {
        let status = lab.status().await?;
        let frail = status["instances"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|instance| instance["name"] == "frail-1");
        let frail = frail.context("frail-1")?;
        ensure!(
            frail["crash_loop"] == true && frail["exit_code"] == 7,
            "{frail}"
        );
        ensure!(
            frail["tail"].to_string().contains("cannot go on"),
            "{frail}"
        );
        ensure!(
            frail["restarts"]
                .as_u64()
                .is_some_and(|restarts| (4..30).contains(&restarts)),
            "{frail}"
        );
        Ok(())
    })
    .await?;
    let table = said(&lab.run(&["ps"]).await?);
    ensure!(
        table.contains("frail-1") && table.contains("cannot go on"),
        "ps: {table}"
    );
    ensure!(
        lab.expect(&["logs", "frail"])
            .await?
            .contains("cannot go on"),
        "the log is lost"
    );
    ensure!(
        lab.instance("steady-1").await? == steady,
        "a neighbour was disturbed"
    );
    std::fs::remove_file(&flag)?;
    lab.expect(&["down"]).await?;
    Ok(())
}

async fn fails(setting: &Setting, file: &std::path::Path) -> Result<()> {
    let before = Snapshot::take()?;
    let lab = Lab::new(setting, "crash", file.to_owned())?;
    let flag = file.with_file_name("flags").join("crash");
    std::fs::write(&flag, "")?;
    let said = lab.refused(1, &UP).await?;
    std::fs::remove_file(&flag)?;
    ensure!(
        said.contains("frail-1") && said.contains("cannot go on"),
        "names neither the service nor its last lines: {said}"
    );
    before.is_all_there_is(&BTreeSet::new(), &lab.state()).await
}
