//! Whether anything gets out of a sandbox: every attempt of [`probe::list`](crate::probe::list) from inside each service of the shop.

mod keyrings;
mod stage;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use netns_setup::kernel::sandbox::seccomp::Filter;
use nix::sys::resource::{Resource, getrlimit};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::holdings::are_apart;
use crate::instance::{descendants, leads_a_session_without_terminal};
use crate::probe::list::{ATTEMPTS, Attempt};
use crate::probe::{self, Place};
use crate::setting::{Lab, Setting};
use crate::steps::{Steps, now};
use stage::Stage;

/// Where this test's own program is in every sandbox.
const PROBE: &str = "/probe";
/// The one-shot service, which has ended by the time the others run: its own program tries.
const ONE_SHOT: &str = "secrets";
/// How often somebody comes into a sandbox for whoever lies in wait to see three of them, each there for less than a millisecond.
const MOST_COMINGS: usize = 500;
/// The service that states how many files it opens at most, how many those are, and how many others may.
const LIMITED: &str = "redis";
const OPEN_FILES: u64 = 3_999;
const DEFAULT_OPEN_FILES: u64 = 65_536;
const SERVICES: [&str; 6] = [
    "api-gateway",
    "order-service",
    "postgres",
    "product-service",
    "redis",
    "service-registry",
];

pub(crate) async fn tell(steps: &mut Steps, setting: &Setting) {
    let prepared = async {
        let lab = Lab::new(setting, "confinement", setting.compose_file())?;
        let stage = Stage::set(setting, &lab)?;
        let lab = lab.with(stage.override_file(setting)?);
        Ok((lab, stage))
    };
    let Some((lab, mut stage)) = steps
        .step("something to get hold of is planted", prepared)
        .await
    else {
        return;
    };
    if steps
        .step(
            "the shop comes up, a health check of which wants to be filtered, and the caller's keys stay outside",
            keyrings::stay_outside(setting, &lab),
        )
        .await
        .is_none()
    {
        return;
    }
    let permitted = async {
        stage.world.sibling = lab.instance("redis-1").await?.pid.context("redis runs")?;
        stage.world.limit = stage::limit_of(stage.world.sibling)?;
        let outside = compare(Place::Outside, ATTEMPTS, &stage.outside(Place::Outside)?)?;
        Ok(outside
            + compare(
                Place::Namespaces,
                ATTEMPTS,
                &stage.outside(Place::Namespaces)?,
            )?)
    };
    if let Some(count) = steps
        .step("nothing stops these attempts outside a sandbox", permitted)
        .await
    {
        steps.figure(
            "attempts with a positive control",
            format!("{count} of {}", ATTEMPTS.len()),
        );
    }
    let mut denied = 0;
    for service in SERVICES {
        denied += steps
            .step(
                &format!("nothing gets out of {service}"),
                stage.tried_inside(&lab, service),
            )
            .await
            .unwrap_or_default();
    }
    denied += steps
        .step(
            &format!("nothing gets out of {ONE_SHOT}, tried by its own program"),
            one_shot(&lab),
        )
        .await
        .unwrap_or_default();
    steps.figure(
        "attempts denied",
        format!(
            "{denied} ({} from each of {} sandboxes)",
            ATTEMPTS.len(),
            SERVICES.len() + 1
        ),
    );
    let terminal = stage.on_the_callers_terminal(&lab);
    steps
        .step(
            "the terminal of whoever calls `exec` is out of reach",
            terminal,
        )
        .await;
    steps
        .step(
            "who lies in wait for `exec` gets hold of nothing",
            ambush(&lab),
        )
        .await;
    steps
        .step(
            "every process of every sandbox is filtered and has no privilege",
            processes(&lab),
        )
        .await;
    if let Some(cost) = steps
        .step("the filter's cost is measured", async { cost() })
        .await
    {
        steps.figure("the filter", cost);
    }
    steps.step("it goes down", lab.expect(&["down"])).await;
    // Root's to tell: what it takes up is another user's.
    if setting.is_root() {
        let few = keyrings::are_few(setting);
        steps
            .step("a lab takes one of the keys that its user may have", few)
            .await;
    }
}

/// Compares what a probe said with the table: how many attempts that were.
fn compare(place: Place, attempts: &[Attempt], said: &str) -> Result<usize> {
    let root = nix::unistd::geteuid().is_root();
    let answers = probe::answers(said)?;
    let expected = attempts
        .iter()
        .filter(|attempt| attempt.expected(place, root).is_some())
        .count();
    ensure!(
        answers.len() == expected,
        "{} of {expected} were tried: {said}",
        answers.len()
    );
    let mut wrong = String::new();
    for (number, answer) in &answers {
        let attempt = &attempts[*number];
        let expected = attempt.expected(place, root).unwrap_or_default();
        if !expected.contains(answer) {
            writeln!(
                wrong,
                "{}: tries to {}: {answer:?}, not {expected:?}",
                place.name(),
                attempt.to
            )?;
        }
    }
    ensure!(wrong.is_empty(), "{wrong}");
    Ok(answers.len())
}

/// Watches from inside while others come in.
async fn ambush(lab: &Lab<'_>) -> Result<()> {
    let watch = ["exec", "-T", "redis", PROBE, probe::ARGUMENT];
    let mut watch = tokio::process::Command::from(lab.command(&watch));
    let mut watcher = watch
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut said = BufReader::new(watcher.stdout.take().context("its output")?).lines();
    ensure!(said.next_line().await?.as_deref() == Some("watching"));
    for _ in 0..MOST_COMINGS {
        lab.expect(&["exec", "-T", "redis", "true"]).await?;
        if watcher.try_wait()?.is_some() {
            break;
        }
    }
    drop(watcher.stdin.take());
    let result = said.next_line().await?.context("what it saw")?;
    ensure!(result == "3 shut, 0 caught", "{result}");
    Ok(())
}

async fn one_shot(lab: &Lab<'_>) -> Result<usize> {
    let log = lab.state().join(format!("logs/{ONE_SHOT}-1.log"));
    compare(Place::Sandbox, ATTEMPTS, &fs::read_to_string(log)?)
}

/// What the kernel says of every process in the sandboxes, as the host sees them.
async fn processes(lab: &Lab<'_>) -> Result<()> {
    let mut apart = vec![
        i32::try_from(std::process::id())?,
        lab.first_process().await?,
    ];
    for instance in lab.instances().await? {
        let pid = instance
            .pid
            .with_context(|| format!("{} does not run", instance.name))?;
        apart.push(pid);
        leads_a_session_without_terminal(&fs::read_to_string(format!("/proc/{pid}/stat"))?)?;
        let limits = fs::read_to_string(format!("/proc/{pid}/limits"))?;
        let of = if instance.service == LIMITED {
            OPEN_FILES
        } else {
            DEFAULT_OPEN_FILES
        };
        has_limits(&limits, of).with_context(|| instance.name.clone())?;
        for process in descendants(pid)? {
            let Ok(status) = fs::read_to_string(format!("/proc/{}/status", process.pid)) else {
                continue; // it has ended
            };
            for needed in [
                "CapInh:\t0000000000000000",
                "CapPrm:\t0000000000000000",
                "CapEff:\t0000000000000000",
                "CapBnd:\t0000000000000000",
                "CapAmb:\t0000000000000000",
                // The kernel ends the list of supplementary groups, here an empty one, with a blank.
                "Groups:\t \n",
                "NoNewPrivs:\t1",
                "Seccomp:\t2",
            ] {
                ensure!(
                    status.contains(needed),
                    "{}: {needed} is not so: {status}",
                    instance.name
                );
            }
        }
    }
    are_apart(&apart)?;
    entered(lab).await?;
    // As a person sees it. A program in the router is the machine's own, in no sandbox.
    for (target, mode) in [("redis", 2), ("router", 0)] {
        let status = [
            "exec",
            "-T",
            target,
            "grep",
            "Seccomp:",
            "/proc/self/status",
        ];
        let said = lab.expect(&status).await?;
        ensure!(said == format!("Seccomp:\t{mode}\n"), "{target}: {said}");
    }
    Ok(())
}

/// What comes in by `exec` is kept like what is there.
async fn entered(lab: &Lab<'_>) -> Result<()> {
    let cat = async |file: &str| lab.expect(&["exec", "-T", LIMITED, "cat", file]).await;
    leads_a_session_without_terminal(&cat("/proc/self/stat").await?).context("exec")?;
    has_limits(&cat("/proc/self/limits").await?, OPEN_FILES).context("exec")?;
    // Whoever is the owner of a file there, by whatever way, may not write to it.
    let mounts = cat("/proc/self/mounts").await?;
    for part in ["bus", "fs", "irq", "sys"] {
        let frozen = format!("proc /proc/{part} proc ro,");
        ensure!(
            mounts.contains(&frozen) || !Path::new("/proc").join(part).exists(),
            "no {frozen:?} in {mounts}"
        );
    }
    Ok(())
}

/// Insists on the limits of a process, as `/proc` shows them: how many files it may open, and no core.
fn has_limits(shown: &str, open_files: u64) -> Result<()> {
    let (_, granted) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let open_files = open_files.min(granted);
    for (name, limit) in [("Max open files", open_files), ("Max core file size", 0)] {
        let limits = shown.lines().find_map(|line| line.strip_prefix(name));
        let limits: Vec<&str> = limits
            .with_context(|| shown.to_owned())?
            .split_whitespace()
            .collect();
        let limit = limit.to_string();
        ensure!(
            limits.starts_with(&[&limit, &limit]),
            "{name}, soft and hard, should be {limit}: {limits:?}"
        );
    }
    Ok(())
}

/// Compiles and loads the filter in a thread of this test, which stays the only one it confines.
fn cost() -> Result<String> {
    let measured = std::thread::spawn(|| {
        let began = now();
        let filter = Filter::compile()?;
        let compiled = now();
        filter.install()?;
        let micros = |duration: std::time::Duration| duration.as_micros();
        Ok::<_, netns_setup::kernel::Failure>(format!(
            "{} instructions, {} µs to compile, {} µs to load",
            filter.instructions(),
            micros(compiled - began),
            micros(compiled.elapsed())
        ))
    });
    Ok(measured.join().ok().context("the measuring thread")??)
}
