//! The lab's first process, or its launcher, is killed in every moment of bring-up: nothing is left, and the next `up` works.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use test_support::eventually;

use crate::holdings::Holdings;
use crate::instance::{Process, descendants, kill_process, naming};
use crate::residue::Snapshot;
use crate::setting::{Lab, Setting, UP};
use crate::shop::{get, is_gone};
use crate::steps::{Steps, now};

/// Every which step of the network the launcher is killed at: what it leaves depends on the step in nothing but time.
const LAUNCHER_STRIDE: usize = 11;
/// The moments of the sweeps: how far apart, and how many. A held lab stands after some 30 ms.
const MOMENT: Duration = Duration::from_millis(1);
const MOMENTS: u32 = 40;

pub(crate) async fn tell(steps: &mut Steps, setting: &Setting) {
    let lab = match Lab::new(setting, "residue", setting.compose_file()) {
        Ok(lab) => lab,
        Err(error) => return steps.fail("a lab", &error),
    };
    let Some((before, last)) = steps
        .step("the machine before, and the steps of the plan", first(&lab))
        .await
    else {
        return;
    };
    let began = now();
    let mut kills = 0;
    let told = steps
        .step(
            "killed after each step of the network, the lab leaves nothing",
            at_each_step(&lab, &before, last),
        )
        .await;
    kills += told.unwrap_or(0);
    let told = steps
        .step(
            "a launcher killed while its lab is held takes the lab along",
            launchers(&lab, &before, last),
        )
        .await;
    kills += told.unwrap_or(0);
    let told = steps
        .step(
            "a launcher killed at any moment leaves nothing",
            sweep(&lab, &before, last, Victim::Launcher),
        )
        .await;
    kills += told.unwrap_or(0);
    let told = steps
        .step(
            "a lab killed at any moment of its beginning leaves nothing, and its launcher says so",
            sweep(&lab, &before, last, Victim::Lab),
        )
        .await;
    kills += told.unwrap_or(0);
    let told = steps
        .step(
            "killed at each start and each report of an instance, the lab leaves nothing",
            at_each_event(&lab, &before),
        )
        .await;
    kills += told.unwrap_or(0);
    steps
        .step("after all that the shop comes up and sells", works(&lab))
        .await;
    steps.figure(
        "kill -9",
        format!("{kills} times in {:.1} s", began.elapsed().as_secs_f64()),
    );
}

async fn first(lab: &Lab<'_>) -> Result<(Snapshot, usize)> {
    let plan = lab.expect(&["config", "--format", "plan"]).await?;
    let number = |line: &str| line.rsplit_once("  # ")?.1.parse().ok();
    let last = plan.lines().filter_map(number).max();
    Ok((Snapshot::take()?, last.context("no step has a number")?))
}

async fn at_each_step(lab: &Lab<'_>, before: &Snapshot, last: usize) -> Result<usize> {
    for step in 1..=last {
        let step = step.to_string();
        lab.expect(&["up", "-d", "--until", &step]).await?;
        kill_and_look(lab, before)
            .await
            .with_context(|| format!("killed after step {step}"))?;
    }
    Ok(last)
}

/// Kills the first process of a lab that is up, or coming up.
async fn kill_and_look(lab: &Lab<'_>, before: &Snapshot) -> Result<()> {
    let pid = noted(lab)?;
    let holdings = Holdings::of(pid)?;
    ensure!(holdings.namespaces() >= 6, "{holdings:?}");
    kill_process(pid)?;
    is_gone(lab, before, &holdings.processes).await?;
    holdings.are_gone().await
}

/// The first process as the state folder names it.
fn noted(lab: &Lab<'_>) -> Result<i32> {
    let text = std::fs::read_to_string(lab.state().join("pid"))?;
    let pid = text.split_whitespace().next().context("no pid")?;
    Ok(pid.parse()?)
}

/// `up` held in the foreground, with its errors to be read.
fn hold(lab: &Lab<'_>, step: usize) -> Result<Child> {
    let mut command = lab.command(&["up", "--until", &step.to_string()]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().context("starting netns-setup")
}

async fn launchers(lab: &Lab<'_>, before: &Snapshot, last: usize) -> Result<usize> {
    let mut count = 0;
    for step in (1..=last).step_by(LAUNCHER_STRIDE) {
        let mut launcher = hold(lab, step)?;
        let said = launcher.stderr.take().context("its errors")?;
        let held = BufReader::new(said)
            .lines()
            .map_while(Result::ok)
            .any(|line| line.starts_with("held after step"));
        ensure!(held, "it was not held after step {step}");
        let holdings = Holdings::of(noted(lab)?)?;
        launcher.kill()?;
        launcher.wait()?;
        is_gone(lab, before, &holdings.processes).await?;
        holdings.are_gone().await?;
        count += 1;
    }
    Ok(count)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Victim {
    Launcher,
    Lab,
}

/// Kills at one moment after another, from before the first fork to after the last step.
async fn sweep(lab: &Lab<'_>, before: &Snapshot, last: usize, victim: Victim) -> Result<usize> {
    let mut count = 0;
    for moment in 0..MOMENTS {
        let moment = MOMENT * moment;
        let mut launcher = hold(lab, last)?;
        // Not a wait for something: the moment is what is tried.
        std::thread::sleep(moment);
        let pid = i32::try_from(launcher.id())?;
        let mut of_lab = BTreeSet::new();
        let status = eventually("its launcher ends", || {
            let seen = lab_processes(pid, lab).unwrap_or_default();
            let killed = match victim {
                Victim::Launcher => Some(pid),
                // The first there is. One that has just done its work feels nothing: then the next is.
                Victim::Lab => seen.first().map(|process| process.pid),
            };
            of_lab.extend(seen);
            let killed = killed.map_or(Ok(()), kill_process);
            let ended = launcher.try_wait();
            async move {
                killed?;
                ended?.context("it goes on")
            }
        })
        .await
        .with_context(|| format!("killed after {moment:?}"))?;
        count += 1;
        ensure!(!status.success(), "killed after {moment:?}: success");
        is_gone(lab, before, &of_lab)
            .await
            .with_context(|| format!("killed after {moment:?}"))?;
    }
    Ok(count)
}

/// What its launcher has started by now, and what is on its own already.
fn lab_processes(launcher: i32, lab: &Lab<'_>) -> Result<BTreeSet<Process>> {
    let mut processes = descendants(launcher)?;
    processes.retain(|process| process.pid != launcher);
    processes.extend(naming(&lab.state())?);
    Ok(processes)
}

/// Brings the whole shop up again and again, and kills it one event later each time, until there is none left before it is up.
async fn at_each_event(lab: &Lab<'_>, before: &Snapshot) -> Result<usize> {
    for event in 1.. {
        let mut command = lab.command(&UP);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut launcher = command.spawn()?;
        let said = Arc::new(AtomicUsize::new(0));
        let errors = launcher.stderr.take().context("its errors")?;
        let counted = Arc::clone(&said);
        let listening = std::thread::spawn(move || {
            let lines = BufReader::new(errors).lines().map_while(Result::ok);
            lines
                .inspect(|line| {
                    // One line for the network and for each instance; what follows is the summary.
                    counted.fetch_add(usize::from(line.starts_with(' ')), Ordering::Relaxed);
                })
                .collect::<Vec<String>>()
        });
        let mut started = BTreeSet::new();
        let up = eventually("the next event", || {
            started.extend(instances_of(lab));
            let ended = launcher.try_wait();
            let count = started.len() + said.load(Ordering::Relaxed);
            async move {
                let ended = ended?;
                ensure!(count >= event || ended.is_some(), "{count} events");
                Ok(ended)
            }
        })
        .await
        .with_context(|| format!("event {event}"))?;
        let result = kill_and_look(lab, before).await;
        launcher.wait()?;
        let said = listening.join().unwrap_or_default().join("\n");
        result.with_context(|| format!("killed at event {event}: {said}"))?;
        if let Some(status) = up {
            ensure!(status.success(), "up: {status}: {said}");
            return Ok(event);
        }
    }
    Ok(0)
}

/// The instances' own processes: the first of a PID namespace within the lab's (`NSpid` in `proc_pid_status(5)`).
fn instances_of(lab: &Lab<'_>) -> BTreeSet<Process> {
    let of_lab = noted(lab).and_then(descendants).unwrap_or_default();
    let is_first = |process: &Process| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid));
        let numbers = status
            .ok()?
            .lines()
            .find_map(|line| line.strip_prefix("NSpid:"))
            .map(|line| {
                line.split_whitespace()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            })?;
        Some(numbers.len() == 3 && numbers[2] == "1")
    };
    of_lab
        .into_iter()
        .filter(|process| is_first(process).unwrap_or(false))
        .collect()
}

async fn works(lab: &Lab<'_>) -> Result<()> {
    lab.expect(&UP).await?;
    get(lab, "/api/products").await?.error_for_status()?;
    lab.expect(&["down", "--volumes"]).await?;
    Ok(())
}
