//! Again and again: labs that come and go, and instances that are started anew, leave nothing that adds up; a database that was taken down
//! has nothing to recover.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use test_support::eventually;

use crate::groups::{all_groups, guardian, own_groups};
use crate::holdings::Holdings;
use crate::instance::{kill_process, resident};
use crate::residue::Snapshot;
use crate::setting::{Lab, Setting, UP};
use crate::shop::{get, order};
use crate::steps::{Steps, now};

/// How often, and after how many of them growth is counted from.
const CYCLES: u32 = 50;
const SETTLED: u32 = 5;

const FILE: &str = r#"
services:
  idle:
    entrypoint: [/bin/sh, -c, "exec sleep 3600"]
    healthcheck: { test: [CMD, /bin/true], interval: 1s }
    stop_signal: SIGKILL
    stop_grace_period: 100ms
    networks: [only]
networks:
  only:
    ipam: { config: [ { subnet: "${FRONTEND_PREFIX}.0/24" } ] }
"#;

pub(crate) async fn tell(steps: &mut Steps, setting: &Setting) {
    let file = match file(setting) {
        Ok(file) => file,
        Err(error) => return steps.fail("a small Compose file", &error),
    };
    let told = steps
        .step(
            "fifty labs one after the other leave nothing that adds up",
            labs(setting, &file),
        )
        .await;
    if let Some(figure) = told {
        steps.figure("up and down", figure);
    }
    let told = steps
        .step(
            "fifty restarts of an instance cost the lab nothing that stays",
            restarts(setting, &file),
        )
        .await;
    if let Some((figure, beside)) = told {
        steps.figure("the lab's first process", figure);
        steps.figure("memory beside it", beside);
    }
    steps
        .step(
            "PostgreSQL has nothing to recover after `down` and Ctrl-C, and recovers after `kill -9`",
            database(setting),
        )
        .await;
}

fn file(setting: &Setting) -> Result<PathBuf> {
    let file = setting.folder("cycles")?.join("compose.yaml");
    std::fs::write(&file, FILE)?;
    Ok(file)
}

/// Cycles of `up` and `down`; what the machine shows is the same after the last as after the fifth.
async fn labs(setting: &Setting, file: &Path) -> Result<String> {
    let lab = Lab::new(setting, "cycles", file.to_owned())?;
    let began = now();
    let mut settled = None;
    for cycle in 1..=CYCLES {
        lab.expect(&UP).await.with_context(|| format!("{cycle}"))?;
        let held = Holdings::of(lab.first_process().await?)?;
        lab.expect(&["down"]).await?;
        held.are_gone().await.with_context(|| format!("{cycle}"))?;
        if cycle == SETTLED {
            settled = Some((Snapshot::take()?, files_of(&lab)?));
        }
    }
    let (snapshot, files) = settled.context("no fifth cycle")?;
    snapshot
        .is_all_there_is(&Default::default(), &lab.state())
        .await?;
    ensure!(
        files_of(&lab)? == files,
        "the state folder grows: {files:?}"
    );
    let each = began.elapsed() / CYCLES;
    Ok(format!("{CYCLES} times, {} ms each", each.as_millis()))
}

/// The files of the state folder.
fn files_of(lab: &Lab<'_>) -> Result<Vec<PathBuf>> {
    let (mut found, mut folders) = (Vec::new(), vec![lab.state()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// What the kernel counts of the lab's first process, the namespaces of all its processes, and their control groups.
fn counts(lab: &Lab<'_>, first: i32) -> Result<BTreeMap<&'static str, usize>> {
    let entries = |what: &str| -> Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{first}/{what}"))?.count())
    };
    let mounts = std::fs::read_to_string(format!("/proc/{first}/mounts"))?;
    Ok(BTreeMap::from([
        ("open files", entries("fd")?),
        ("threads", entries("task")?),
        ("mounts", mounts.lines().count()),
        ("namespaces", Holdings::of(first)?.namespaces()),
        ("control groups", all_groups(&lab.state())),
    ]))
}

async fn restarts(setting: &Setting, file: &Path) -> Result<(String, String)> {
    let lab = Lab::new(setting, "cycles", file.to_owned())?;
    lab.expect(&UP).await?;
    let first = lab.first_process().await?;
    let mut settled = (BTreeMap::new(), 0);
    for cycle in 1..=CYCLES {
        lab.expect(&["restart", "idle"]).await?;
        if cycle == SETTLED {
            settled = (counts(&lab, first)?, resident(first)?);
        }
    }
    let (before, memory) = settled;
    // Threads that start sandboxes end when they have been idle for a second.
    eventually("as much is counted as after the fifth", || async {
        let after = counts(&lab, first)?;
        let grown = after.iter().any(|(what, count)| *count > before[what]);
        ensure!(!grown, "{before:?}, then {after:?}");
        Ok(())
    })
    .await?;
    let after = resident(first)?;
    ensure!(after < memory + 2_000_000, "{memory} B, then {after} B");
    let text = format!(
        "{:.1} MB after {SETTLED} restarts, {:.1} MB after {CYCLES}; {before:?}",
        memory as f64 / 1e6,
        after as f64 / 1e6
    );
    lab.expect(&["down"]).await?;
    Ok((text, beside(&lab).await?))
}

/// The memory of the lab's processes outside it: the launcher of one in the foreground, and who removes the control groups.
async fn beside(lab: &Lab<'_>) -> Result<String> {
    let mut command = lab.command(&["up"]);
    let quiet = command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    let mut launcher = quiet.spawn()?;
    eventually("it is up in the foreground", || async {
        let status = lab.status().await?;
        ensure!(status["ready_ms"].is_u64(), "{status}");
        Ok(())
    })
    .await?;
    let (launchers, guardian) = (
        resident(i32::try_from(launcher.id())?)?,
        guardian(&lab.state())?,
    );
    let mut text = format!(
        "launcher (in the foreground) {:.1} MB",
        launchers as f64 / 1e6
    );
    ensure!(launchers < 40_000_000, "{text}");
    match guardian.map(resident).transpose()? {
        Some(guardians) => {
            text.push_str(&format!(", guardian {:.1} MB", guardians as f64 / 1e6));
            ensure!(guardians < 20_000_000, "{text}");
        }
        None => {
            let groups = own_groups(&lab.state());
            ensure!(groups.is_empty(), "nobody will remove {groups:?}");
        }
    }
    kill(Pid::from_raw(i32::try_from(launcher.id())?), Signal::SIGINT)?;
    crate::terminal::end_of(&mut launcher).await?;
    Ok(text)
}

/// How PostgreSQL says that it found its data.
const IN_ORDER: &str = "database system was shut down at";
const TORN: [&str; 2] = ["was interrupted", "not properly shut down"];

async fn database(setting: &Setting) -> Result<()> {
    let lab = Lab::new(setting, "database", setting.compose_file())?;
    lab.expect(&UP).await?;
    let placed = order(&lab).await?;
    lab.expect(&["down"]).await?;

    lab.expect(&UP).await?;
    found_in_order(&lab).await.context("after `down`")?;
    connect(&lab).await?;
    lab.expect(&["down"]).await?;

    lab.expect(&UP).await?;
    found_in_order(&lab)
        .await
        .context("after `down` with somebody connected")?;
    kill_process(lab.first_process().await?)?;

    // In the foreground, to be ended by Ctrl-C.
    let mut command = lab.command(&["up"]);
    command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    let mut launcher = command.spawn()?;
    eventually("it is up after `kill -9`", || async {
        let status = lab.status().await?;
        ensure!(status["ready_ms"].is_u64(), "{status}");
        Ok(())
    })
    .await?;
    let said = lab.expect(&["logs", "postgres"]).await?;
    ensure!(TORN.iter().any(|words| said.contains(words)), "{said}");
    let path = format!("/api/orders/{}", placed["id"].as_str().context("an id")?);
    get(&lab, &path).await?.error_for_status()?;
    kill(Pid::from_raw(i32::try_from(launcher.id())?), Signal::SIGINT)?;
    crate::terminal::end_of(&mut launcher).await?;

    lab.expect(&UP).await?;
    found_in_order(&lab).await.context("after Ctrl-C")?;
    get(&lab, &path).await?.error_for_status()?;
    lab.expect(&["down", "--volumes"]).await?;
    Ok(())
}

/// Leaves a client that does not go by itself: a smart shutdown would wait for it, the fast one that the file asks for does not.
async fn connect(lab: &Lab<'_>) -> Result<()> {
    let client = |sql: &str| {
        format!(
            "PGPASSWORD=$(cat /run/secrets/postgres-password) exec psql -X -A -t -h 127.0.0.1 -U postgres -c \"{sql}\""
        )
    };
    let stay = client("select pg_sleep(3600)");
    lab.expect(&["exec", "-d", "postgres", "/bin/sh", "-c", &stay])
        .await?;
    let count = client("select count(*) from pg_stat_activity where wait_event = 'PgSleep'");
    eventually("somebody is connected", || async {
        let said = lab
            .expect(&["exec", "-T", "postgres", "/bin/sh", "-c", &count])
            .await?;
        ensure!(said == "1\n", "{said}");
        Ok(())
    })
    .await
}

async fn found_in_order(lab: &Lab<'_>) -> Result<()> {
    let said = lab.expect(&["logs", "postgres"]).await?;
    let torn = TORN.iter().any(|words| said.contains(words));
    ensure!(said.contains(IN_ORDER) && !torn, "{said}");
    Ok(())
}
