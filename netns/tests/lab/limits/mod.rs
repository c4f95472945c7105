//! What a service may use: processor time, memory, processes, as the kernel enforces and counts it.

mod felt;
mod removal;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::delegation::{Delegation, SCOPE};
use crate::groups::Group;
use crate::setting::{Lab, Setting, UP, said};
use crate::steps::Steps;

/// `hog` eats memory once its folder says so. What is greedy here is content with what no machine minds, should its limit not hold.
const FILE: &str = r#"
services:
  busy:
    entrypoint: [/bin/sh, -c, "while :; do :; done"]
    stop_grace_period: 100ms
    networks: [only]
    deploy: { resources: { limits: { cpus: "0.2" } } }
  hog:
    entrypoint: [/bin/sh, -c, "while ! rm /flags/hog 2>/dev/null; do sleep 0.1; done; exec perl -e '$$x .= q(x) x 1048576 for 1..256; sleep 3600'"]
    restart: unless-stopped
    stop_grace_period: 100ms
    volumes: ["./flags:/flags"]
    networks: [only]
    deploy: { resources: { limits: { memory: 32M } } }
  calm:
    entrypoint: [/bin/sh, -c, "exec sleep 3600"]
    stop_grace_period: 100ms
    networks: [only]
    deploy: { resources: { limits: { memory: 32M } } }
  bomb:
    entrypoint: [perl, -e, "for (1..64) { my $$p = fork; last if !defined $$p; sleep 3600 if !$$p } sleep 3600"]
    stop_grace_period: 100ms
    networks: [only]
    deploy: { resources: { limits: { pids: 16 } } }
networks:
  only:
    ipam: { config: [ { subnet: 10.77.2.0/24 } ] }
"#;

pub(crate) async fn tell(steps: &mut Steps, setting: &Setting) {
    let lab = match lab(setting) {
        Ok(lab) => lab,
        Err(error) => return steps.fail("a Compose file with limits", &error),
    };
    let Some(is_limited) = steps
        .step(
            "limits are enforced, or it is said once why not and what to do",
            comes_up(setting, &lab),
        )
        .await
    else {
        return;
    };
    if is_limited {
        tell_limited(steps, &lab).await;
    }
    steps
        .step("down leaves no control group", removal::goes_down(&lab))
        .await;
    if is_limited {
        steps
            .step(
                "up says which limit a service keeps hitting",
                felt::up_names_the_limit(setting),
            )
            .await;
        steps
            .step(
                "killing the first process leaves no control group",
                removal::is_killed(&lab),
            )
            .await;
        let name = "after its guardian was killed too the next up sweeps, and sweeps nobody else's";
        if setting.delegation() == Delegation::Scopes {
            // With the last process of a scope its service manager removes the scope's groups: it races with this test.
            steps.skip(name, "the end of a scope is the end of its groups");
        } else {
            let killed = removal::is_killed_with_its_guardian(&lab);
            steps.step(name, killed).await;
        }
    }
}

fn lab(setting: &Setting) -> Result<Lab<'_>> {
    let folder = setting.folder("limits")?;
    let flags = setting.folder("limits/flags")?;
    // The service takes its flag away, whoever it runs as.
    fs::set_permissions(&flags, std::os::unix::fs::PermissionsExt::from_mode(0o777))?;
    let file = folder.join("compose.yaml");
    fs::write(&file, FILE)?;
    Lab::new(setting, "limits", file)
}

async fn tell_limited(steps: &mut Steps, lab: &Lab<'_>) {
    if let Some(share) = steps
        .step(
            "a busy loop gets a fifth of a processor",
            felt::is_throttled(lab),
        )
        .await
    {
        steps.figure(
            "share of a processor under cpus: 0.2",
            format!("{share:.3}"),
        );
    }
    steps
        .step(
            "a service that eats memory is killed, told and started again, its sibling is left alone",
            felt::is_oom_killed(lab),
        )
        .await;
    steps
        .step(
            "a program that exec starts is in the service's group",
            felt::exec_joins(lab),
        )
        .await;
    steps
        .step("a fork bomb stops at its limit", felt::is_bounded(lab))
        .await;
    steps
        .step(
            "the guardian holds nothing of its caller's",
            removal::guardian_is_alone(lab),
        )
        .await;
}

/// Whether limits are enforced here: always for root.
async fn comes_up(setting: &Setting, lab: &Lab<'_>) -> Result<bool> {
    let output = lab.run(&UP).await?;
    let said = said(&output);
    ensure!(output.status.success(), "{said}");
    let status = lab.status().await?;
    if status["unenforced"].is_null() {
        ensure!(!said.contains("not enforced"), "{said}");
        let limits = &instance(&status, "busy-1")?["limits"];
        ensure!(limits["cpus"] == 0.2, "{limits}");
        return Ok(true);
    }
    ensure!(
        setting.delegation() == Delegation::Unknown,
        "a group was delegated to it, but {said}"
    );
    ensure!(
        !setting.is_root(),
        "root can limit: mount the control groups (mount -t cgroup2 none /sys/fs/cgroup)\n{said}"
    );
    ensure!(said.matches("not enforced").count() == 1, "{said}");
    let words: Vec<&str> = said.split_whitespace().collect();
    let words = words.join(" ");
    // Of version 2 a group can be given away: the remedy is to be given one.
    let remedy = if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        SCOPE
    } else {
        "run it as root"
    };
    ensure!(
        words.contains(remedy) || words.contains("--cgroupns"),
        "no remedy: {said}"
    );
    for (argv, times) in [
        (&["ps"][..], 0),
        (&["ps", "--all"], 1),
        (&["stats", "--no-stream"], 0),
        (&["stats", "--no-stream", "--all"], 1),
    ] {
        let table = crate::setting::said(&lab.run(argv).await?);
        let told = table.matches("not enforced").count();
        ensure!(told == times, "{argv:?} tells it {told} times: {table}");
    }
    ensure!(instance(&status, "busy-1")?["limits"]["cpus"].is_null());
    Ok(false)
}

fn instance<'a>(status: &'a Value, name: &str) -> Result<&'a Value> {
    let all = status["instances"].as_array().context("instances")?;
    all.iter()
        .find(|instance| instance["name"] == name)
        .with_context(|| format!("no {name} in {status}"))
}

async fn group(lab: &Lab<'_>, name: &str) -> Result<Group> {
    let pid = lab.instance(name).await?.pid;
    Ok(Group::of(pid.with_context(|| format!("{name} runs"))?))
}
