//! Limits that are hit.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use test_support::eventually;

use super::{group, instance};
use crate::groups::own_groups;
use crate::setting::{Lab, Setting, UP, said};
use crate::steps::now;

/// Cannot come up: not either where perl takes its time to start, and would be taken for a program that runs.
const HOPELESS: &str = r#"
services:
  hog:
    entrypoint: [perl, -e, "$$x .= q(x) x 1048576 for 1..256; sleep 3600"]
    restart: unless-stopped
    healthcheck: { test: [CMD, "false"], interval: 1h }
    networks: [only]
    deploy: { resources: { limits: { memory: 16M } } }
networks:
  only:
    ipam: { config: [ { subnet: 10.77.2.0/24 } ] }
"#;

/// What eats memory.
const HOG: [&str; 3] = ["perl", "-e", "$x .= q(x) x 1048576 for 1..256"];

/// The share of a processor that it got.
pub(super) async fn is_throttled(lab: &Lab<'_>) -> Result<f64> {
    let group = group(lab, "busy-1").await?;
    let used = || group.used();
    let (began, before) = (now(), used()?);
    let enough = Duration::from_millis(300);
    eventually("it has used 0.3 s", || async {
        let so_far = used()?.saturating_sub(before);
        ensure!(so_far >= enough, "{so_far:?}");
        Ok(())
    })
    .await?;
    let share = (used()? - before).as_secs_f64() / began.elapsed().as_secs_f64();
    // Less is a machine with others on it, however little; more is no limit.
    ensure!(share < 0.25, "it got {share:.3}");
    ensure!(group.number("cpu", &["cpu.stat"], "nr_throttled ")? > 0);
    let throttled = || -> Result<u64> {
        let nanoseconds = group.number("cpu", &["cpu.stat"], "throttled_time ");
        nanoseconds.or_else(|_| Ok(group.number("cpu", &["cpu.stat"], "throttled_usec ")? * 1000))
    };
    let least = throttled()?;
    let (stats, ps) = figures(lab, "busy-1").await?;
    let most = throttled()?;
    for shown in [&stats["throttled_ns"], &ps["throttled_ns"]] {
        let shown = shown.as_u64().context("throttled_ns")?;
        ensure!(
            (least..=most).contains(&shown),
            "{shown} ns, not from {least} to {most}: {stats} {ps}"
        );
    }
    ensure!(stats["cpu_limit"] == 0.2, "{stats}");
    for argv in [&["stats", "--no-stream"][..], &["ps"]] {
        let output = lab.run(argv).await?;
        let rows = String::from_utf8_lossy(&output.stdout);
        ensure!(
            !rows.contains(" was "),
            "{argv:?}, not the table alone: {rows}"
        );
        let table = said(&output);
        ensure!(
            table.contains("\nbusy-1 was held back ") && table.contains(" s by cpus: 0.2\n"),
            "{argv:?}: {table}"
        );
        ensure!(!table.contains("calm-1 was"), "{argv:?}: {table}");
    }
    Ok(share)
}

/// What `stats` and `ps` tell scripts of an instance.
async fn figures(lab: &Lab<'_>, name: &str) -> Result<(Value, Value)> {
    let stats: Value =
        serde_json::from_str(&lab.expect(&["stats", "--no-stream", "--json"]).await?)?;
    let row = stats.as_array().into_iter().flatten();
    let row = row.clone().find(|row| row["name"] == name);
    let row = row
        .with_context(|| format!("no {name} in {stats}"))?
        .clone();
    Ok((row, instance(&lab.status().await?, name)?.clone()))
}

pub(super) async fn is_oom_killed(lab: &Lab<'_>) -> Result<()> {
    let calm = lab.instance("calm-1").await?;
    let flags = lab.file().with_file_name("flags");
    // Whoever is inside ends with it, and before it.
    let mut beside = lab.spawn(&[
        "exec",
        "-T",
        "hog-1",
        "/bin/sh",
        "-c",
        "touch /flags/beside; exec sleep 3600",
    ])?;
    eventually("a shell is open beside it", || async {
        ensure!(flags.join("beside").exists(), "not yet");
        Ok(())
    })
    .await?;
    fs::write(flags.join("hog"), "")?;
    let status = eventually("it has been started again", || async {
        let status = lab.status().await?;
        let hog = instance(&status, "hog-1")?;
        ensure!(
            hog["oom_killed"] == true
                && hog["exit_code"] == 137
                && hog["restarts"] == 1
                && hog["state"] == "running",
            "{hog}"
        );
        Ok(status)
    })
    .await?;
    let ended = beside.wait().await?;
    ensure!(ended.code() == Some(137), "exec: {ended}");
    let counted = group(lab, "hog-1")
        .await?
        .read("memory", &["memory.oom_control", "memory.events"])?;
    ensure!(counted.contains("oom_kill 1\n"), "{counted}");
    ensure!(instance(&status, "calm-1")?["oom_killed"] == false);
    ensure!(
        lab.instance("calm-1").await? == calm,
        "a sibling was disturbed"
    );
    let table = said(&lab.run(&["ps"]).await?);
    ensure!(
        table.contains("hog-1 was oom-killed at its memory limit of 32M, 1 restart\n"),
        "{table}"
    );
    let (stats, ps) = figures(lab, "hog-1").await?;
    ensure!(
        stats["oom_kills"] == 1 && stats["restarts"] == 1 && stats["memory_limit"] == 32 << 20,
        "{stats}"
    );
    ensure!(ps["oom_kills"] == 1, "{ps}");
    let table = said(&lab.run(&["stats", "--no-stream"]).await?);
    ensure!(
        table.contains("\nhog-1 was oom-killed 1 time by memory: 32M\n"),
        "{table}"
    );
    let past = ["events", "--since", "1h", "--until", "0s", "hog", "calm"];
    let past = lab.expect(&past).await?;
    let at = |text: &str| past.find(text);
    let (oom, die) = (
        at(" oom hog-1 (service=hog)"),
        at(" die hog-1 (exitCode=137, service=hog)"),
    );
    ensure!(oom.is_some() && oom < die, "{past}");
    ensure!(past.matches(" oom ").count() == 1, "{past}");
    Ok(())
}

pub(super) async fn exec_joins(lab: &Lab<'_>) -> Result<()> {
    let calm = lab.instance("calm-1").await?;
    let output = lab.exec("calm-1", &HOG).await?;
    ensure!(output.status.code() == Some(137), "{}", said(&output));
    ensure!(lab.instance("calm-1").await? == calm, "it was disturbed");
    let table = said(&lab.run(&["ps"]).await?);
    ensure!(
        table.contains("calm-1 was oom-killed 1 time by memory: 32M\n"),
        "{table}"
    );
    let past = ["events", "--since", "1h", "--until", "0s", "calm"];
    eventually("the kill is an event", || async {
        let past = lab.expect(&past).await?;
        ensure!(past.matches(" oom calm-1 ").count() == 1, "{past}");
        Ok(())
    })
    .await?;
    let shown = lab.exec("calm-1", &["cat", "/proc/self/cgroup"]).await?;
    let shown = String::from_utf8(shown.stdout)?;
    ensure!(
        !shown.is_empty() && shown.lines().all(|line| line.ends_with(":/")),
        "it sees where its group is: {shown}"
    );
    Ok(())
}

pub(super) async fn is_bounded(lab: &Lab<'_>) -> Result<()> {
    let group = group(lab, "bomb-1").await?;
    eventually("it can fork no more", || async {
        let refused = group.number("pids", &["pids.events"], "max ")?;
        let current = group.number("pids", &["pids.current"], "")?;
        ensure!(refused > 0 && current == 16, "{current}, refused {refused}");
        Ok(())
    })
    .await
}

pub(super) async fn up_names_the_limit(setting: &Setting) -> Result<()> {
    let file = setting.folder("limits-small")?.join("compose.yaml");
    fs::write(&file, HOPELESS)?;
    let lab = Lab::new(setting, "limits-small", file)?;
    let said = lab.refused(1, &UP).await?;
    ensure!(
        said.contains("error: hog-1: keeps ending (oom-killed at its memory limit of 16M)"),
        "{said}"
    );
    let left = own_groups(&lab.state());
    ensure!(left.is_empty(), "{left:?}");
    Ok(())
}
