//! What a running lab tells of itself, held against `/proc`, `ip` and what was done to it.

use anyhow::{Context, Result, ensure};
use netns_setup::lab::processes::{self, Process, TICKS};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::groups::{Group, own_groups};
use crate::instance::signal_process;
use crate::setting::{Lab, Setting};

/// Has so many bytes, and burns a processor.
const HUNGRY: &str = "vec($x, 63_999_999, 8) = 1; open F, '>/tmp/ready'; close F; 1 while 1";
const HELD: u64 = 64_000_000;
/// Sends much, and hears little of it.
const TALKATIVE: &str = "for i in {1..100}; do printf %01000d 0 >&3; done 2>/dev/null 3>/dev/udp/web/9; exec 3<>/dev/tcp/web/8000; echo >&3; cat <&3";

/// `stats`: the processes of a sandbox, the memory and the processor that something takes there, an interface's counters.
pub(crate) async fn stats(lab: &Lab<'_>) -> Result<()> {
    lab.expect(&["exec", "idle", "/bin/bash", "-c", TALKATIVE])
        .await?;
    // Counted where no health check comes and goes.
    lab.expect(&["exec", "-d", "web", "perl", "-e", HUNGRY])
        .await?;
    test_support::eventually("it holds its memory", || {
        lab.expect(&["exec", "-T", "web", "test", "-e", "/tmp/ready"])
    })
    .await?;
    let pid = lab.instance("web-1").await?.pid.context("web-1 runs")?;
    let grouped = !own_groups(&lab.state()).is_empty();
    let used = || -> Result<u64> {
        Ok(match grouped {
            true => u64::try_from(Group::of(pid).used()?.as_nanos())?,
            false => used_by_namespace(pid)?,
        })
    };
    let least = used()?;
    let text = lab.expect(&["stats", "--no-stream", "--json"]).await?;
    let most = used()?;
    let show = ["ip", "-j", "-s", "link", "show", "eth0"];
    let link = [&["exec", "--privileged", "idle"], &show[..]].concat();
    let link = lab.expect(&link).await?;
    let tasks = members(pid)?.iter().map(|task| task.threads).sum::<u64>();
    // Everything in the sandbox but its first process and the one that asks.
    lab.expect(&["exec", "web", "/bin/sh", "-c", "kill -KILL -1"])
        .await?;

    let all: Value = serde_json::from_str(&text)?;
    let row = |name: &str| {
        let mut rows = all.as_array().into_iter().flatten();
        rows.find(|row| row["name"] == name)
            .with_context(|| format!("{name} in {all}"))
    };
    let (idle, web) = (row("idle-1")?, row("web-1")?);
    let figure = |row: &Value, name: &str| {
        let figure = row[name].as_u64();
        figure.with_context(|| format!("{name}: {row}"))
    };
    let shown = figure(web, "cpu_ns")?;
    ensure!(
        (least..=most).contains(&shown),
        "cpu_ns: {shown}, not from {least} to {most}"
    );
    // The two looks are within those of this test, and a second apart: it can be no more than all of that time.
    let (percent, bound) = (web["cpu_percent"].as_f64(), (most - least) as f64 / 1e7);
    ensure!(
        percent.is_some_and(|percent| percent > 0.0 && percent <= bound + 0.1),
        "{percent:?} % of a processor, not up to {bound}"
    );
    ensure!(
        tasks == 2 && web["pids"] == tasks,
        "{tasks} tasks in /proc: {web}"
    );
    let memory = figure(web, "memory_bytes")?;
    ensure!(
        (HELD..HELD * 3 / 2).contains(&memory),
        "something holds {HELD} bytes, and it shows {memory}"
    );
    // The neighbours' questions (ARP) may have come in between.
    let links: Value = serde_json::from_str(&link)?;
    for (name, way) in [("rx_bytes", "rx"), ("tx_bytes", "tx")] {
        let counted = figure(&links[0]["stats64"][way], "bytes")?;
        let shown = figure(idle, name)?;
        ensure!(
            shown > 300 && shown <= counted && counted - shown < 2000,
            "{name}: ip counts {counted}, stats {shown}"
        );
    }
    let (received, sent) = (figure(idle, "rx_bytes")?, figure(idle, "tx_bytes")?);
    ensure!(
        sent > received + 10_000,
        "it talks more than it hears: {idle}"
    );
    let table = lab.expect(&["stats", "--no-stream", "web"]).await?;
    ensure!(
        table.contains("web-2") && !table.contains("idle-1"),
        "{table}"
    );
    fits(&table)
}

/// The processes in the PID namespace of `pid`, as the host's `/proc` has them.
fn members(pid: i32) -> Result<Vec<Process>> {
    let namespace = processes::namespace(pid).context("its PID namespace")?;
    let mut all = processes::by_namespace();
    let members = all.remove(&namespace).unwrap_or_default();
    Ok(members.into_iter().filter_map(Process::read).collect())
}

/// Processor time of the processes there, and of their children that have ended, in nanoseconds.
fn used_by_namespace(pid: i32) -> Result<u64> {
    let ticks = |process: &Process| process.ticks + process.childrens_ticks;
    let ticks: u64 = members(pid)?.iter().map(ticks).sum();
    Ok(ticks * (1_000_000_000 / TICKS))
}

/// `top`, `port`, `ps` and `version`.
pub(crate) async fn lists(lab: &Lab<'_>) -> Result<()> {
    let pid = lab.instance("idle-1").await?.pid.context("idle-1 runs")?;
    let top = lab.expect(&["top", "idle"]).await?;
    let line = top
        .lines()
        .find(|line| line.contains("sleep 3600"))
        .with_context(|| top.clone())?;
    ensure!(
        line.split_whitespace().nth(1) == Some(&pid.to_string()) && !top.contains("perl"),
        "{top}"
    );
    let address = lab.expect(&["port", "web", "8000"]).await?;
    ensure!(
        address.trim() == format!("127.0.0.1:{}", lab.http_port),
        "port: {address}"
    );
    let all = lab.expect(&["port", "web"]).await?;
    let published = format!("127.0.0.1:{}", lab.http_port);
    ensure!(all == format!("8000/tcp -> {published}\n"), "port: {all}");
    let refused = lab.refused(1, &["port", "idle"]).await?;
    ensure!(refused.contains("published are ports of: web"), "{refused}");
    let refused = lab.refused(1, &["port", "web", "81"]).await?;
    ensure!(refused.contains("8000"), "{refused}");
    let refused = lab.refused(1, &["port", "nobody", "81"]).await?;
    ensure!(refused.contains("no service or instance"), "{refused}");
    ensure!(
        lab.expect(&["ps", "-q"]).await? == "idle-1\nweb-1\nweb-2\n",
        "ps -q"
    );
    ensure!(
        lab.expect(&["ps", "--services"]).await? == "idle\nweb\n",
        "ps --services"
    );
    let table = lab.expect(&["ps", "web"]).await?;
    ensure!(
        table.matches("\nweb-").count() == 2 && !table.contains("idle"),
        "{table}"
    );
    let ports = format!("  {published}->8000/tcp\n");
    ensure!(table.matches(&ports).count() == 2, "{table}");
    let table = lab.expect(&["ps", "--no-trunc"]).await?;
    let idle = table.lines().find(|line| line.starts_with("idle-1"));
    ensure!(idle.is_some_and(|line| line.ends_with(" 0")), "{table}");
    lab.refused(1, &["ps", "nobody"]).await?;
    let bare = lab.expect(&["logs", "--no-log-prefix", "idle"]).await?;
    ensure!(bare == "one\n", "logs: {bare:?}");
    ensure!(
        lab.expect(&["version", "--short"]).await?.trim() == env!("CARGO_PKG_VERSION"),
        "version"
    );
    Ok(())
}

fn fits(table: &str) -> Result<()> {
    let wide = table.lines().find(|line| line.chars().count() > 80);
    ensure!(wide.is_none(), "more than 80 columns: {wide:?}");
    Ok(())
}

/// `events`: what a killed process and its restart leave behind, and what a listener hears meanwhile.
pub(crate) async fn events(lab: &Lab<'_>) -> Result<()> {
    let mut listener =
        tokio::process::Command::from(lab.command(&["events", "--json", "--since", "1h"]))
            .stdout(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(
        listener.stdout.take().context("its output")?,
    ));
    // Once the past has begun to arrive, what happens next is heard as well.
    lines.next_line().await?.context("a first event")?;
    signal_process(&lab.instance("web-2").await?, Signal::SIGKILL)?;
    let hearing = async {
        let mut heard = Vec::new();
        while let Some(line) = lines.next_line().await? {
            let event: Value = serde_json::from_str(&line)?;
            let again = event["attributes"]["restarts"] == "1";
            heard.push(event);
            if again {
                break;
            }
        }
        anyhow::Ok(heard)
    };
    let heard = tokio::time::timeout(std::time::Duration::from_secs(20), hearing)
        .await
        .context("the restart is not told")??;
    let die = heard
        .iter()
        .find(|event| event["action"] == "die")
        .context("die")?;
    ensure!(
        die["id"] == "web-2" && die["service"] == "web" && die["attributes"]["exitCode"] == "137",
        "{die}"
    );
    drop(listener);
    let past = lab
        .expect(&["events", "--since", "1h", "--until", "0s"])
        .await?;
    for wanted in [
        "start web-1 (service=web)",
        "health_status: healthy idle-1 (service=idle)",
        "die web-2 (exitCode=137, service=web)",
        "start web-2 (restarts=1, service=web)",
    ] {
        ensure!(past.contains(wanted), "{wanted} is not in:\n{past}");
    }
    let of_idle = lab
        .expect(&["events", "--since", "1h", "--until", "0s", "idle"])
        .await?;
    ensure!(!of_idle.contains("web-"), "{of_idle}");
    Ok(())
}

/// `ls`: what is up, and not what was killed.
pub(crate) async fn list(setting: &Setting, lab: &Lab<'_>) -> Result<()> {
    let found = |text: &str| -> Result<Value> {
        let labs: Vec<Value> = serde_json::from_str(text)?;
        let one = labs
            .into_iter()
            .find(|one| one["name"] == lab.name.as_str());
        Ok(one.unwrap_or_default())
    };
    let up = found(&lab.expect(&["ls", "--json"]).await?)?;
    ensure!(
        up["status"] == "up" && up["running"] == 3 && up["instances"] == 3,
        "{up}"
    );
    ensure!(
        up["files"][0]
            .as_str()
            .is_some_and(|file| file.starts_with('/') && file.ends_with("/looking/compose.yaml")),
        "{up}"
    );
    // Whole, as who reads a pipe wants it.
    let path = up["files"][0].as_str().unwrap_or_default();
    let table = lab.expect(&["ls"]).await?;
    let row = table.lines().find(|line| line.starts_with(&lab.name));
    ensure!(
        row.is_some_and(|row| row.contains(" running(3) ") && row.ends_with(path)),
        "{table}"
    );
    // Without a Compose file in sight.
    let output = setting.netns_setup().args(["ls", "-q"]).output()?;
    let names = String::from_utf8(output.stdout)?;
    ensure!(names.lines().any(|name| name == lab.name), "{names}");
    Ok(())
}

/// To be called when the lab has been killed.
pub(crate) async fn list_of_the_dead(lab: &Lab<'_>) -> Result<()> {
    crate::instance::kill_process(lab.first_process().await?)?;
    test_support::eventually("a killed lab is not listed as up", || async {
        let names = lab.expect(&["ls", "-q"]).await?;
        ensure!(!names.lines().any(|name| name == lab.name), "{names}");
        let all = lab.expect(&["ls", "--all"]).await?;
        ensure!(
            all.lines()
                .any(|line| line.starts_with(&lab.name) && line.contains("down")),
            "{all}"
        );
        Ok(())
    })
    .await
}
