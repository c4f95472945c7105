//! `logs`: what the instances have written.

use std::io::ErrorKind;
use std::time::Duration;

use clap::Args;

use super::args::Global;
use super::failure::{Code, Failure};
use super::moment::moment;
use super::streams::{Streams, instances, is_of};
use super::terminal::{Paint, say};
use super::{project, reader};
use crate::lab::client::Client;
use crate::lab::clock::unix_ns;
use crate::lab::logs::Window;
use crate::lab::protocol::Reply;
use crate::lab::state::StateDir;

/// How often files are looked at with `--follow`.
const FOLLOW: Duration = Duration::from_millis(100);

/// How long a lab may take to say which instances it has. All that it knows of logs stands in files, which can be read meanwhile.
const ANSWER: Duration = Duration::from_secs(1);

/// `logs`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  netns-setup logs
  netns-setup logs -f order-service product-service-2
  netns-setup logs -t --since 10m
  netns-setup logs --tail 20 --no-log-prefix postgres > postgres.log

A log is what the program itself has written, byte by byte; what is no UTF-8
is shown as U+FFFD, and stands in the files as it was. No file gets longer than
10 MB; the two before the current one are kept beside it, in the folder of the
lab (ls --json names it): logs/NAME.log.1 and .2. --since looks into these too,
and so into earlier lives of the lab; without it the current one is shown.

A line's time, in UTC, is when the lab took in its end. With -t the lines of all
instances are in the order of their times. A line of a log that another version
has written has none: it is shown with a - instead, whatever --since says.
A time is a date or RFC 3339 (in UTC where it names no zone), seconds since
1970, or how long ago: 90s, 10m, 1h30m, 2d.

While the lab is up, the instances it has are shown, with --follow also those
that come; one that is no more when it is named. When it is down, all that were.")]
pub(super) struct Logs {
    /// Go on as more is written, until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
    /// Only so many lines of each, from the end
    #[arg(short = 'n', long, value_name = "LINES", value_parser = lines)]
    pub tail: Option<Lines>,
    /// When each line was written, before it
    #[arg(short, long)]
    pub timestamps: bool,
    /// Nothing that was written before
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<u64>,
    /// Nothing that was written after
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<u64>,
    /// Which instance of the service
    #[arg(long, value_name = "N")]
    pub index: Option<u32>,
    /// No names before the lines
    #[arg(long)]
    pub no_log_prefix: bool,
    /// No colours, even on a terminal
    #[arg(long)]
    pub no_color: bool,
    /// Services or instances [default: all]
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

pub(super) fn run(global: &Global, logs: &Logs) -> Result<u8, Failure> {
    let wanted = wanted(logs)?;
    let state = project::find(global)?;
    let (present, left) = (present(&state), instances(&state.logs()));
    let names = chosen(&present, &left, &wanted, &state.name())?;
    let window = Window {
        lines: logs.tail.and_then(|Lines(lines)| lines),
        since: logs.since,
        until: logs.until,
        timed: logs.timestamps,
    };
    let mut streams = Streams::new(&state, &names, &wanted, window)?;
    streams.bare = logs.no_log_prefix;
    if logs.no_color {
        streams.paint = Paint::none();
    }
    if logs.follow {
        reader::wait_for_end()?;
    }
    streams.pump()?;
    let more_may_come = || logs.until.is_none_or(|until| unix_ns() <= until) && state.is_up();
    while logs.follow && more_may_come() {
        std::thread::sleep(FOLLOW);
        streams.pump()?;
    }
    // What was written between the last look and the end of the lab.
    streams.pump()?;
    streams.finish()?;
    Ok(0)
}

/// The services or instances that are asked for.
fn wanted(logs: &Logs) -> Result<Vec<String>, Failure> {
    match (logs.index, &logs.services[..]) {
        (None, services) => Ok(services.to_vec()),
        (Some(index), [service]) => Ok(vec![format!("{service}-{index}")]),
        (Some(_), _) => Err(Failure::new(
            Code::Usage,
            "error: --index says which instance of one service: name that service",
        )),
    }
}

/// How many lines from the end; `None`: all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lines(Option<usize>);

/// Parses a number of lines, or Docker's `all`.
fn lines(text: &str) -> Result<Lines, String> {
    match text {
        "all" => Ok(Lines(None)),
        _ => text
            .parse()
            .map(|lines| Lines(Some(lines)))
            .map_err(|_| "expected a number of lines, or all".to_owned()),
    }
}

/// The instances that are there: while the lab is up those it has; else all that have left a log.
fn present(state: &StateDir) -> Vec<String> {
    let asked = || Client::status_within(&state.control(), ANSWER);
    match state.is_up().then(asked) {
        Some(Ok(Some(Reply::Status(status)))) => {
            let instances = status.instances.into_iter();
            return instances.map(|instance| instance.name).collect();
        }
        Some(Err(error)) if error.kind() == ErrorKind::TimedOut => {
            say("note: the lab does not answer: all logs that were left are shown");
        }
        // It cannot say, but what was written can be read.
        _ => {}
    }
    instances(&state.logs())
}

/// Those that are asked for, by instance or by service. One that is no more, `left` a log, and is asked for by its own name is
/// chosen too: who scales down may still want to know how it ended.
fn chosen(
    present: &[String],
    left: &[String],
    wanted: &[String],
    project: &str,
) -> Result<Vec<String>, Failure> {
    if wanted.is_empty() {
        return Ok(present.to_vec());
    }
    let mut chosen: Vec<String> = Vec::new();
    for wanted in wanted {
        let mut found: Vec<&String> = present.iter().filter(|one| is_of(one, wanted)).collect();
        if found.is_empty() {
            found = left.iter().filter(|one| *one == wanted).collect();
        }
        if found.is_empty() {
            return Err(nobody(present, wanted, project));
        }
        chosen.extend(found.into_iter().cloned());
    }
    chosen.sort();
    chosen.dedup();
    Ok(chosen)
}

fn nobody(present: &[String], wanted: &str, project: &str) -> Failure {
    let others = match present {
        [] => {
            format!("nor has anything else of {project}\n = help: `netns-setup up -d` brings it up")
        }
        _ => format!("there are: {}", present.join(", ")),
    };
    let gap = if present.is_empty() { "," } else { ";" };
    Failure::new(
        Code::Failed,
        format!("error: nothing named {wanted} has written a log{gap} {others}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().copied().map(str::to_owned).collect()
    }

    #[test]
    fn logs_are_chosen_by_service_or_instance() {
        let all = names(&["order-1", "order-2", "order-service-1"]);
        let left = names(&["order-1", "order-2", "order-3"]);
        let of = |wanted: &[&str]| chosen(&all, &left, &names(wanted), "shop");
        assert_eq!(of(&["order"]).unwrap(), ["order-1", "order-2"]);
        assert_eq!(of(&["order-2", "order"]).unwrap(), ["order-1", "order-2"]);
        assert_eq!(of(&[]).unwrap(), all);
        // It is no more, and is shown to who asks for it alone.
        assert_eq!(of(&["order-3"]).unwrap(), ["order-3"]);
        let refused = of(&["cart"]).unwrap_err().message;
        assert!(
            refused.ends_with("; there are: order-1, order-2, order-service-1"),
            "{refused}"
        );
        let refused = chosen(&[], &[], &names(&["cart"]), "shop")
            .unwrap_err()
            .message;
        assert!(
            refused.contains("nor has anything else of shop\n = help: `netns-setup up -d`"),
            "{refused}"
        );
    }
}
