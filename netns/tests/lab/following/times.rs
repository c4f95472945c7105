//! When lines were written: `logs -t`, `--since` and `--until`, held against what the writers themselves say of the time.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use test_support::eventually;

use super::{PATIENCE, Reader};
use crate::setting::{Lab, Setting, UP};
use crate::steps::{Steps, now};

/// Two who say what the time is, each line in two pieces.
const FILE: &str = r#"
services:
  clock:
    entrypoint:
      - /usr/bin/perl
      - -MTime::HiRes=time,sleep
      - -e
      - '$$| = 1; while (1) { print "at "; sleep 0.03; printf "%.6f\n", time; sleep 0.03 }'
    stop_signal: SIGKILL
    deploy: { replicas: 2 }
    networks: [only]
networks:
  only: { ipam: { config: [ { subnet: "${FRONTEND_PREFIX}.0/24" } ] } }
"#;
/// How late the lab may take in what was written, on a busy machine.
const LATE: f64 = 3.0;
/// How long a lab that hangs may hold up who wants its logs.
const HELD_UP: Duration = Duration::from_secs(4);

pub(super) async fn tell(steps: &mut Steps, setting: &Setting) {
    let prepared = || {
        let file = setting.folder("times")?.join("compose.yaml");
        std::fs::write(&file, FILE)?;
        Lab::new(setting, "times", file)
    };
    let lab = match prepared() {
        Ok(lab) => lab,
        Err(error) => return steps.fail("a Compose file of clocks", &error),
    };
    let up = async { lab.expect(&UP).await };
    if steps.step("two clocks come up", up).await.is_none() {
        return;
    }
    steps
        .step(
            "logs -t tells when each line was complete, of all instances in order",
            stamped(&lab),
        )
        .await;
    steps
        .step(
            "logs --since and --until show what is between, --tail the last of that",
            between(&lab),
        )
        .await;
    steps
        .step(
            "logs --index shows one instance, and logs -f --until ends by itself",
            chosen(&lab),
        )
        .await;
    steps
        .step(
            "logs of a lab that hangs are shown soon, with a word of it",
            hanging(&lab),
        )
        .await;
    steps
        .step(
            "logs --since looks into earlier lives; lines whose times are lost are shown as such",
            earlier(&lab),
        )
        .await;
}

/// A line of `logs -t --no-log-prefix`.
#[derive(Debug, Clone, PartialEq)]
struct Stamped {
    stamp: String,
    text: String,
}

fn stamped_lines(told: &str) -> Result<Vec<Stamped>> {
    let line = |line: &str| {
        let (stamp, text) = line.split_once(' ')?;
        let (stamp, text) = (stamp.to_owned(), text.to_owned());
        Some(Stamped { stamp, text })
    };
    let lines = told.lines().map(|told| line(told).context(told.to_owned()));
    lines.collect()
}

/// What date(1) makes of times, in seconds since 1970.
fn read_by_date(lines: &[Stamped]) -> Result<Vec<f64>> {
    let stamps: String = lines
        .iter()
        .map(|line| format!("{}\n", line.stamp))
        .collect();
    let mut date = Command::new("date")
        .args(["-f", "-", "+%s.%N"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = date.stdin.take().context("its input")?;
    let writer =
        std::thread::spawn(move || std::io::Write::write_all(&mut input, stamps.as_bytes()));
    let output = date.wait_with_output()?;
    writer.join().ok().context("the writer")??;
    ensure!(output.status.success(), "date: {}", output.status);
    let seconds = String::from_utf8(output.stdout)?;
    seconds.lines().map(|line| Ok(line.parse()?)).collect()
}

/// The whole lines that `logs` shows once there are some twenty.
async fn shown(lab: &Lab<'_>, argv: &[&str]) -> Result<Vec<Stamped>> {
    let argv = [&["logs", "-t", "--no-log-prefix"], argv].concat();
    eventually("there are some lines", || async {
        let mut lines = stamped_lines(&lab.expect(&argv).await?)?;
        lines.retain(|line| line.text != "at ");
        ensure!(lines.len() > 20, "{lines:?}");
        Ok(lines)
    })
    .await
}

async fn stamped(lab: &Lab<'_>) -> Result<()> {
    let lines = shown(lab, &["clock"]).await?;
    let stamps = read_by_date(&lines)?;
    ensure!(stamps.len() == lines.len(), "{lines:?}");
    ensure!(stamps.is_sorted(), "not in order: {lines:?}");
    for (line, stamp) in lines.iter().zip(&stamps) {
        let said: f64 = line.text.trim_start_matches("at ").parse()?;
        // It says microseconds, rounded.
        ensure!(
            (said - 0.000_001..said + LATE).contains(stamp) && line.stamp.len() == 30,
            "{line:?}"
        );
    }
    let told = lab.expect(&["logs", "-t"]).await?;
    let of = |name: &str| told.lines().filter(|line| line.starts_with(name)).count();
    ensure!(of("clock-1 | 20") > 5 && of("clock-2 | 20") > 5, "{told}");
    let lines: Vec<&str> = told.lines().filter_map(|line| line.get(..7)).collect();
    let turns = lines.windows(2).filter(|pair| pair[0] != pair[1]).count();
    ensure!(turns > 5, "one after the other: {told}");
    // What the program wrote, and nothing else, is in its log.
    let log = std::fs::read_to_string(lab.state().join("logs/clock-1.log"))?;
    // It may be in the middle of a line.
    let written = log.strip_suffix("at ").unwrap_or(&log);
    ensure!(
        written.lines().all(|line| line.starts_with("at 1")),
        "{log}"
    );
    Ok(())
}

async fn between(lab: &Lab<'_>) -> Result<()> {
    let all = shown(lab, &["clock-1"]).await?;
    let (a, b) = (all.len() / 3, all.len() * 2 / 3);
    let (since, until) = (all[a].stamp.as_str(), all[b].stamp.as_str());
    let within: Vec<Stamped> = (all.iter())
        .filter(|line| (since..=until).contains(&line.stamp.as_str()))
        .cloned()
        .collect();
    let range = ["--since", since, "--until", until, "clock-1"];
    let found = stamped_lines(
        &lab.expect(&[&["logs", "-t", "--no-log-prefix"], &range[..]].concat())
            .await?,
    )?;
    ensure!(found == within, "{since} to {until}: {found:?} in {all:?}");
    let bare = lab
        .expect(&[&["logs", "--no-log-prefix"], &range[..]].concat())
        .await?;
    let texts: Vec<&str> = within.iter().map(|line| line.text.as_str()).collect();
    ensure!(bare.lines().eq(texts.iter().copied()), "{bare}");
    let last = lab
        .expect(&[&["logs", "--no-log-prefix", "-n", "3"], &range[..]].concat())
        .await?;
    ensure!(
        last.lines().eq(texts[texts.len() - 3..].iter().copied()),
        "{last}"
    );

    let hour = shown(lab, &["--since", "1h", "clock-1"]).await?;
    ensure!(hour.starts_with(&all), "{hour:?}");
    ensure!(
        lab.expect(&["logs", "--until", "1h"]).await?.is_empty(),
        "an hour ago"
    );
    let told = lab.refused(2, &["logs", "--since", "yesterday"]).await?;
    ensure!(
        told.contains("\"yesterday\" is no time: expected 2026"),
        "{told}"
    );
    Ok(())
}

async fn chosen(lab: &Lab<'_>) -> Result<()> {
    let told = lab.expect(&["logs", "--index", "2", "clock"]).await?;
    ensure!(
        !told.is_empty() && told.lines().all(|line| line.starts_with("clock-2 |")),
        "{told}"
    );
    let told = lab.refused(1, &["logs", "--index", "9", "clock"]).await?;
    ensure!(
        told.contains("nothing named clock-9 has written a log; there are: clock-1, clock-2"),
        "{told}"
    );
    let told = lab.refused(2, &["logs", "--index", "2"]).await?;
    ensure!(told.contains("name that service"), "{told}");

    let date = Command::new("date")
        .args(["-d", "+4 seconds", "+%s.%N"])
        .output()?;
    let until = String::from_utf8(date.stdout)?;
    let mut follower = Reader::of(
        lab,
        &[
            "logs",
            "-f",
            "--since",
            "0s",
            "--until",
            until.trim(),
            "clock-1",
        ],
    )?;
    let first = follower.line().await?;
    let end = tokio::time::timeout(PATIENCE, follower.child.wait()).await;
    let status = end.context("it goes on")??;
    ensure!(
        status.success() && first.starts_with("clock-1 | at "),
        "{status}: {first}"
    );
    let mut last = first;
    while let Some(line) = follower.lines.next_line().await? {
        if !line.ends_with("at ") {
            last = line;
        }
    }
    let (_, said) = last.split_once("at ").context("no time")?;
    ensure!(
        said.parse::<f64>()? < until.trim().parse()?,
        "{said}, not {until}"
    );
    Ok(())
}

async fn hanging(lab: &Lab<'_>) -> Result<()> {
    let first = Pid::from_raw(lab.first_process().await?);
    kill(first, Signal::SIGSTOP)?;
    let began = now();
    let told = lab.run(&["logs", "-n", "2"]).await;
    let took = began.elapsed();
    kill(first, Signal::SIGCONT)?;
    let told = told?;
    ensure!(took < HELD_UP, "it took {took:?}");
    let (lines, words) = (
        String::from_utf8(told.stdout)?,
        String::from_utf8(told.stderr)?,
    );
    ensure!(
        lines.lines().count() == 4 && words.contains("note: the lab does not answer"),
        "{lines}{words}"
    );
    Ok(())
}

async fn earlier(lab: &Lab<'_>) -> Result<()> {
    let before = shown(lab, &["clock-1"]).await?;
    let since = before[0].stamp.as_str();
    lab.expect(&["down"]).await?;
    lab.expect(&UP).await?;
    let first = |told: String| told.lines().next().map(str::to_owned);
    let argv = ["logs", "-t", "--no-log-prefix", "--since", since, "clock-1"];
    let told = stamped_lines(&lab.expect(&argv).await?)?;
    ensure!(told.starts_with(&before), "{told:?}, not {before:?}");
    let plain = shown(lab, &["clock-1"]).await?;
    ensure!(!plain.contains(&before[0]), "the earlier life: {plain:?}");
    lab.expect(&["down"]).await?;

    std::fs::remove_file(lab.state().join("logs/clock-1.times.1"))?;
    let output = lab.run(&argv).await?;
    let unknown = format!("{:<30} {}", "-", before[0].text);
    ensure!(
        first(String::from_utf8(output.stdout)?) == Some(unknown),
        "without times"
    );
    let words = String::from_utf8(output.stderr)?;
    ensure!(
        words.trim()
            == "note: when some lines of clock-1 were written is not known: they are shown",
        "{words}"
    );
    Ok(())
}
