//! What a service may use: processor time, memory, processes, as the kernel enforces and counts it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use test_support::eventually;

use crate::groups::{Group, guardian, own_groups};
use crate::instance::kill_process;
use crate::setting::{Lab, Setting, UP, said};
use crate::steps::{Steps, now};

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

/// Cannot come up.
const HOPELESS: &str = r#"
services:
  hog:
    entrypoint: [perl, -e, "$$x .= q(x) x 1048576 for 1..256; sleep 3600"]
    restart: unless-stopped
    networks: [only]
    deploy: { resources: { limits: { memory: 16M } } }
networks:
  only:
    ipam: { config: [ { subnet: 10.77.2.0/24 } ] }
"#;

/// What eats memory.
const HOG: [&str; 3] = ["perl", "-e", "$x .= q(x) x 1048576 for 1..256"];

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
        .step("down leaves no control group", goes_down(&lab))
        .await;
    if is_limited {
        steps
            .step(
                "up says which limit a service keeps hitting",
                up_names_the_limit(setting),
            )
            .await;
        steps
            .step(
                "killing the first process leaves no control group",
                is_killed(&lab),
            )
            .await;
        steps
            .step(
                "after its guardian was killed too the next up sweeps, and sweeps nobody else's",
                is_killed_with_its_guardian(&lab),
            )
            .await;
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
        .step("a busy loop gets a fifth of a processor", is_throttled(lab))
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
            is_oom_killed(lab),
        )
        .await;
    steps
        .step(
            "a program that exec starts is in the service's group",
            exec_joins(lab),
        )
        .await;
    steps
        .step("a fork bomb stops at its limit", is_bounded(lab))
        .await;
    steps
        .step(
            "the guardian holds nothing of its caller's",
            guardian_is_alone(lab),
        )
        .await;
}

/// Whether limits are enforced here: always for root.
async fn comes_up(setting: &Setting, lab: &Lab<'_>) -> Result<bool> {
    let output = lab.run(&UP).await?;
    let said = said(&output);
    ensure!(output.status.success(), "{said}");
    let status = lab.status().await?;
    let table = lab.expect(&["ps"]).await?;
    if status["unenforced"].is_null() {
        ensure!(!said.contains("not enforced"), "{said}");
        let limits = &instance(&status, "busy-1")?["limits"];
        ensure!(limits["cpus"] == 0.2, "{limits}");
        return Ok(true);
    }
    ensure!(
        !setting.is_root(),
        "root can limit: mount the control groups (mount -t cgroup2 none /sys/fs/cgroup)\n{said}"
    );
    ensure!(said.matches("not enforced").count() == 1, "{said}");
    let words: Vec<&str> = said.split_whitespace().collect();
    let words = words.join(" ");
    ensure!(
        ["run it as root", "systemd-run", "--cgroupns"]
            .iter()
            .any(|remedy| words.contains(remedy)),
        "no remedy: {said}"
    );
    ensure!(table.matches("not enforced").count() == 1, "{table}");
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

/// The share of a processor that it got.
async fn is_throttled(lab: &Lab<'_>) -> Result<f64> {
    let group = group(lab, "busy-1").await?;
    let used = || -> Result<Duration> {
        let nanoseconds = group.number("cpuacct", &["cpuacct.usage"], "");
        nanoseconds.map(Duration::from_nanos).or_else(|_| {
            let microseconds = group.number("cpu", &["cpu.stat"], "usage_usec ")?;
            Ok(Duration::from_micros(microseconds))
        })
    };
    let (began, before) = (now(), used()?);
    let enough = Duration::from_millis(300);
    eventually("it has used 0.3 s", || async {
        let so_far = used()?.saturating_sub(before);
        ensure!(so_far >= enough, "{so_far:?}");
        Ok(())
    })
    .await?;
    let share = (used()? - before).as_secs_f64() / began.elapsed().as_secs_f64();
    // Less is a machine with others on it; more is no limit.
    ensure!((0.05..0.25).contains(&share), "it got {share:.3}");
    ensure!(group.number("cpu", &["cpu.stat"], "nr_throttled ")? > 0);
    let stats = lab.expect(&["stats", "--no-stream"]).await?;
    ensure!(stats.contains("\nbusy-1 was held back "), "{stats}");
    Ok(share)
}

async fn is_oom_killed(lab: &Lab<'_>) -> Result<()> {
    let calm = lab.instance("calm-1").await?;
    let flags = lab.file().with_file_name("flags");
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
    let counted = group(lab, "hog-1")
        .await?
        .read("memory", &["memory.oom_control", "memory.events"])?;
    ensure!(counted.contains("oom_kill 1\n"), "{counted}");
    ensure!(instance(&status, "calm-1")?["oom_killed"] == false);
    ensure!(
        lab.instance("calm-1").await? == calm,
        "a sibling was disturbed"
    );
    let table = lab.expect(&["ps"]).await?;
    ensure!(
        table.contains("hog-1 was oom-killed at its memory limit of 32M, 1 restart\n"),
        "{table}"
    );
    Ok(())
}

async fn exec_joins(lab: &Lab<'_>) -> Result<()> {
    let calm = lab.instance("calm-1").await?;
    let output = lab.exec("calm-1", &HOG).await?;
    ensure!(output.status.code() == Some(137), "{}", said(&output));
    ensure!(lab.instance("calm-1").await? == calm, "it was disturbed");
    let shown = lab.exec("calm-1", &["cat", "/proc/self/cgroup"]).await?;
    let shown = String::from_utf8(shown.stdout)?;
    ensure!(
        !shown.is_empty() && shown.lines().all(|line| line.ends_with(":/")),
        "it sees where its group is: {shown}"
    );
    Ok(())
}

async fn is_bounded(lab: &Lab<'_>) -> Result<()> {
    let group = group(lab, "bomb-1").await?;
    eventually("it can fork no more", || async {
        let refused = group.number("pids", &["pids.events"], "max ")?;
        let current = group.number("pids", &["pids.current"], "")?;
        ensure!(refused > 0 && current == 16, "{current}, refused {refused}");
        Ok(())
    })
    .await
}

async fn guardian_is_alone(lab: &Lab<'_>) -> Result<()> {
    let guardian = guardian(&lab.state())?.context("no guardian")?;
    let folder = PathBuf::from(format!("/proc/{guardian}"));
    let mut holds = Vec::new();
    for entry in fs::read_dir(folder.join("fd"))? {
        holds.push(fs::read_link(entry?.path())?.display().to_string());
    }
    let log = lab.state().join("logs/netns-setup.log");
    let is_expected = |name: &String| {
        name == "/dev/null" || name.contains("pidfd") || *name == log.to_string_lossy()
    };
    ensure!(
        holds.len() == 3 && holds.iter().all(is_expected),
        "{holds:?}"
    );
    ensure!(fs::read_link(folder.join("cwd"))? == Path::new("/"));
    let stat = fs::read_to_string(folder.join("stat"))?;
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    // Its own session, and no terminal (proc_pid_stat(5), fields 6 and 7).
    ensure!(
        fields.get(3) == Some(&guardian.to_string().as_str()) && fields.get(4) == Some(&"0"),
        "{stat}"
    );
    Ok(())
}

async fn goes_down(lab: &Lab<'_>) -> Result<()> {
    lab.expect(&["down"]).await?;
    let left = own_groups(&lab.state());
    ensure!(left.is_empty(), "{left:?}");
    guardian_ends(lab).await
}

async fn guardian_ends(lab: &Lab<'_>) -> Result<()> {
    eventually("the guardian ends", || async {
        let guardian = guardian(&lab.state())?;
        ensure!(guardian.is_none(), "process {guardian:?}");
        Ok(())
    })
    .await
}

async fn up_names_the_limit(setting: &Setting) -> Result<()> {
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

async fn is_killed(lab: &Lab<'_>) -> Result<()> {
    lab.expect(&UP).await?;
    ensure!(!own_groups(&lab.state()).is_empty(), "it has no groups");
    kill_process(lab.first_process().await?)?;
    eventually("its groups are gone", || async {
        let left = own_groups(&lab.state());
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .await?;
    guardian_ends(lab).await
}

async fn is_killed_with_its_guardian(lab: &Lab<'_>) -> Result<()> {
    lab.expect(&UP).await?;
    let first = lab.first_process().await?;
    kill_process(guardian(&lab.state())?.context("no guardian")?)?;
    guardian_ends(lab).await?;
    kill_process(first)?;
    let left = own_groups(&lab.state());
    ensure!(!left.is_empty(), "nobody is there to remove them");
    let others = Others::beside(&left)?;
    lab.expect(&UP).await?;
    for folder in &left {
        ensure!(!folder.exists(), "not swept: {}", folder.display());
    }
    let now = own_groups(&lab.state());
    ensure!(now.len() == left.len(), "{now:?} after {left:?}");
    others.are_there()?;
    goes_down(lab).await?;
    others.are_there()
}

/// Groups of somebody else, empty and named like the lab's.
struct Others(Vec<PathBuf>);

impl Others {
    fn beside(groups: &[PathBuf]) -> Result<Self> {
        let mut others = Self(Vec::new());
        for group in groups {
            let name = format!("netns-setup-limits-other-{}", std::process::id());
            for folder in [
                group.with_file_name(&name),
                group.with_file_name(name).join("one-1"),
            ] {
                fs::create_dir(&folder)?;
                others.0.push(folder);
            }
        }
        Ok(others)
    }

    fn are_there(&self) -> Result<()> {
        for folder in &self.0 {
            ensure!(folder.exists(), "{} was removed", folder.display());
        }
        Ok(())
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        for folder in self.0.iter().rev() {
            let _ = fs::remove_dir(folder); // best effort: a test that fails says so already
        }
    }
}
