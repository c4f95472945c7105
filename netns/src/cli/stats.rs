//! `stats`: what each instance uses, again and again.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::amount::{binary, decimal};
use super::args::Global;
use super::failure::{Code, Failure};
use super::held_back::beneath;
use super::output::Output;
use super::terminal::{can_be_cleared, is_terminal, out, remark};
use super::{project, ps, reader};
use crate::columns::fitting;
use crate::lab::client::Client;
use crate::lab::protocol::{Reply, Request};
use crate::lab::state::StateDir;
use crate::lab::usage::{InstanceUsage, Usage, Usages};

/// How far apart two looks are, and thereby what a percentage is of.
const EVERY: Duration = Duration::from_secs(1);
/// Puts the cursor home and clears what is below (ECMA-48: CUP, ED).
const HOME: &str = "\x1b[H\x1b[J";

/// `stats`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  netns-setup stats
  netns-setup stats --no-stream postgres redis
  netns-setup stats --no-stream --json | jq '.[] | .name, .memory_bytes'

CPU % is of one processor, over the last second. Processor time, memory and
PIDS (processes and threads) are those of the instance's control group where
it has one; else they are summed over the processes of its sandbox, shared
memory counted once (PSS) and children that nobody waited for not at all.
LIMIT is the machine's memory where the service states none, and - where
limits are not enforced. NET I/O is what eth0 has received and sent. JSON is a
list with --no-stream, else one object a line. What limits have held back is
told beneath the table, on standard error.")]
pub(super) struct Stats {
    /// Those that do not run as well; and why limits are not enforced, if so
    #[arg(short, long)]
    pub all: bool,
    /// One look, taken over a second, and return
    #[arg(long)]
    pub no_stream: bool,
    #[command(flatten)]
    pub output: Output,
    /// Services or instances [default: all]
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// One instance's figures with what can be told from two looks.
#[derive(Debug, Serialize)]
struct Row<'a> {
    name: &'a str,
    service: &'a str,
    restarts: u32,
    running: bool,
    /// Of one processor.
    cpu_percent: Option<f64>,
    #[serde(flatten)]
    usage: Option<&'a Usage>,
}

pub(super) fn run(global: &Global, stats: &Stats) -> Result<u8, Failure> {
    let state = project::find_up(global)?;
    // Checks the names, and says which there are.
    let status = ps::with_one_offs(ps::status(&state)?);
    let names: Vec<String> = ps::chosen(&status, &stats.services)?
        .into_iter()
        .map(|instance| instance.name.clone())
        .collect();
    let wanted = |row: &Row<'_>| match stats.services.is_empty() {
        true => stats.all || row.running,
        false => names.iter().any(|known| known == row.name),
    };
    let json = stats.output.is_json();
    // Where limits are stated and not enforced, nothing limits.
    let machine = status.unenforced.is_none().then(machine_memory);
    reader::wait_for_end()?;
    let mut before = ask(&state)?;
    let mut told = String::new();
    if can_be_cleared() && !stats.no_stream && !json {
        out(HOME)?;
    }
    loop {
        std::thread::sleep(EVERY);
        let now = match ask(&state) {
            Ok(now) => now,
            Err(_) if !stats.no_stream && !state.is_up() => return Ok(0),
            Err(failure) => return Err(failure),
        };
        let rows: Vec<Row<'_>> = rows(&before, &now).into_iter().filter(wanted).collect();
        let table = || shown(&rows, machine);
        let text = match (json, stats.no_stream) {
            (true, true) => format!("{}\n", serde_json::to_string_pretty(&rows)?),
            (true, false) => lines(&rows)?,
            (false, true) => table(),
            (false, false) if can_be_cleared() => format!("{HOME}{}", table()),
            (false, false) => format!("{}\n", table()),
        };
        out(&text)?;
        if !json {
            let usages = rows.iter().filter_map(|row| Some((row.name, row.usage?)));
            let unenforced = status.unenforced.as_deref().filter(|_| stats.all);
            let text = beneath(usages, unenforced);
            // Into a file it is said once; a terminal was cleared for the table.
            if text != told || is_terminal() {
                remark(&text);
                told = text;
            }
        }
        if stats.no_stream {
            return Ok(0);
        }
        before = now;
    }
}

pub(super) fn ask(state: &StateDir) -> Result<Usages, Failure> {
    let mut client = Client::ask(&state.control(), Request::Usage, &[])?;
    match client.reply()? {
        Some(Reply::Usage(usages)) => Ok(usages),
        Some(Reply::Error { message, .. }) => {
            Err(Failure::new(Code::Failed, format!("error: {message}")))
        }
        _ => Err(project::not_up(state)),
    }
}

fn lines(rows: &[Row<'_>]) -> Result<String, Failure> {
    let mut text = String::new();
    for row in rows {
        text.push_str(&serde_json::to_string(row)?);
        text.push('\n');
    }
    Ok(text)
}

fn rows<'a>(before: &Usages, now: &'a Usages) -> Vec<Row<'a>> {
    let earlier: BTreeMap<&str, &InstanceUsage> = before
        .instances
        .iter()
        .map(|instance| (instance.name.as_str(), instance))
        .collect();
    let elapsed = now.at_ns.saturating_sub(before.at_ns);
    now.instances
        .iter()
        .map(|instance| {
            let usage = instance.usage.as_ref();
            let used_before = earlier
                .get(instance.name.as_str())
                .and_then(|earlier| earlier.usage.as_ref());
            Row {
                name: &instance.name,
                service: &instance.service,
                restarts: instance.restarts,
                running: usage.is_some(),
                cpu_percent: usage
                    .zip(used_before)
                    .map(|(usage, before)| percent(before.cpu_ns, usage.cpu_ns, elapsed)),
                usage,
            }
        })
        .collect()
}

/// Of one processor, with one decimal; 0 for an instance that was started anew in between.
#[expect(
    clippy::cast_precision_loss,
    reason = "a figure for people, with one decimal"
)]
fn percent(before: u64, now: u64, elapsed: u64) -> f64 {
    let used = now.saturating_sub(before) as f64;
    (used / elapsed.max(1) as f64 * 1000.0).round() / 10.0
}

fn shown(rows: &[Row<'_>], machine: Option<u64>) -> String {
    let dash = || "-".to_owned();
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let figure = |figure: &dyn Fn(&Usage) -> String| row.usage.map_or_else(dash, figure);
            vec![
                row.name.to_owned(),
                row.cpu_percent
                    .map_or_else(dash, |percent| format!("{percent:.1}%")),
                figure(&|usage| {
                    let limit = usage.memory_limit.or(machine).map_or_else(dash, binary);
                    format!("{} / {limit}", binary(usage.memory_bytes))
                }),
                figure(&|usage| {
                    format!("{} / {}", decimal(usage.rx_bytes), decimal(usage.tx_bytes))
                }),
                figure(&|usage| usage.pids.to_string()),
                row.restarts.to_string(),
            ]
        })
        .collect();
    let heads = [
        "NAME",
        "CPU %",
        "MEM USAGE / LIMIT",
        "NET I/O",
        "PIDS",
        "RESTARTS",
    ];
    fitting(&heads, &[1, 4, 5], &cells)
}

/// The machine's memory in bytes (`MemTotal` in `proc_meminfo(5)`).
fn machine_memory() -> u64 {
    std::fs::read_to_string("/proc/meminfo")
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .map_or(0, |kibibytes| kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usages(at_ns: u64, cpu_ns: u64) -> Usages {
        let usage = Usage {
            cpu_ns,
            memory_bytes: 12 << 20,
            memory_limit: Some(64 << 20),
            pids: 3,
            rx_bytes: 1234,
            tx_bytes: 5_600_000,
            ..Usage::default()
        };
        let instance = |name: &str, usage| InstanceUsage {
            name: name.into(),
            service: name.into(),
            restarts: 2,
            usage,
        };
        Usages {
            at_ns,
            instances: vec![instance("a-1", Some(usage)), instance("b-1", None)],
        }
    }

    #[test]
    fn a_percentage_is_of_one_processor_over_the_time_between_two_looks() {
        let (before, now) = (
            usages(0, 1_000_000_000),
            usages(2_000_000_000, 4_000_000_000),
        );
        let rows = rows(&before, &now);
        assert_eq!(
            (rows[0].cpu_percent, rows[1].cpu_percent),
            (Some(150.0), None)
        );
        let table = shown(&rows, Some(1 << 30));
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines[1].split_whitespace().collect::<Vec<_>>().join(" "),
            "a-1 150.0% 12.0MiB / 64.0MiB 1.23kB / 5.60MB 3 2"
        );
        assert!(lines[2].starts_with("b-1") && table.lines().all(|line| line.len() <= 80));
        let json = serde_json::to_value(&rows[0]).unwrap();
        assert_eq!(
            (&json["memory_bytes"], &json["cpu_percent"]),
            (&(12 << 20).into(), &150.0.into())
        );
    }
}
