//! `logs`: what the instances have written.

use std::time::Duration;

use clap::Args;

use super::args::Global;
use super::failure::{Code, Failure};
use super::project;
use super::terminal::{Paint, out};
use crate::lab::launch::OWN_LOG;
use crate::lab::logs::Follower;
use crate::lab::state::StateDir;

/// How often files are looked at with `--follow`.
const FOLLOW: Duration = Duration::from_millis(100);

/// `logs`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  netns-setup logs
  netns-setup logs -f order-service product-service-2
  netns-setup logs --tail 20 --no-log-prefix postgres > postgres.log

A log is what the program itself has written, byte by byte. Nothing adds times
to its lines: Docker's --timestamps and --since do not exist here. No file gets
longer than 10 MB; the two before the current one are kept beside it, in the
folder of the lab (ls --json names it): logs/NAME.log.1 and .2.")]
pub(super) struct Logs {
    /// Go on as more is written, until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
    /// Only so many lines of each, from the end
    #[arg(short = 'n', long, value_name = "LINES", value_parser = lines)]
    pub tail: Option<Lines>,
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
    let state = project::find(global)?;
    let names = chosen(&instances(&state), &logs.services)?;
    let tail = logs.tail.and_then(|Lines(lines)| lines);
    let mut streams = Streams::new(&state, names, tail);
    streams.bare = logs.no_log_prefix;
    if logs.no_color {
        streams.paint = Paint::none();
    }
    streams.pump()?;
    while logs.follow && state.is_up() {
        std::thread::sleep(FOLLOW);
        streams.pump()?;
    }
    // What was written between the last look and the end of the lab.
    streams.pump()?;
    streams.finish()?;
    Ok(0)
}

/// Several logs as one, each line behind its instance's name.
pub(super) struct Streams {
    streams: Vec<(String, Follower)>,
    paint: Paint,
    width: usize,
    /// Lines as they are, without a name before them.
    bare: bool,
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

impl Streams {
    /// From `tail` lines before the end, or from the beginning.
    pub(super) fn new(state: &StateDir, names: Vec<String>, tail: Option<usize>) -> Self {
        let width = names.iter().map(String::len).max().unwrap_or(0);
        let streams = names
            .into_iter()
            .map(|name| {
                let follower = Follower::at_tail(&state.log(&name), tail);
                (name, follower)
            })
            .collect();
        Self {
            streams,
            paint: Paint::stdout(),
            width,
            bare: false,
        }
    }

    /// Prints what has been written since.
    pub(super) fn pump(&mut self) -> std::io::Result<()> {
        let prefixes = self.prefixes();
        for ((_, follower), prefix) in self.streams.iter_mut().zip(prefixes) {
            let mut text = String::new();
            follower.read(&mut |line| text.push_str(&format!("{prefix}{line}\n")))?;
            if !text.is_empty() {
                out(&text)?;
            }
        }
        Ok(())
    }

    /// Prints lines that were left without an end.
    fn finish(&mut self) -> std::io::Result<()> {
        let prefixes = self.prefixes();
        for ((_, follower), prefix) in self.streams.iter_mut().zip(prefixes) {
            if let Some(rest) = follower.rest() {
                out(&format!("{prefix}{rest}\n"))?;
            }
        }
        Ok(())
    }

    /// What stands before the lines of each.
    fn prefixes(&self) -> Vec<String> {
        let (paint, width) = (self.paint, self.width);
        let prefix = |(number, (name, _)): (usize, &(String, Follower))| match self.bare {
            true => String::new(),
            false => format!("{} ", paint.instance(number, &format!("{name:<width$} |"))),
        };
        self.streams.iter().enumerate().map(prefix).collect()
    }
}

/// Instances that have a log, whether or not they still run.
fn instances(state: &StateDir) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(state.logs())
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            entry
                .file_name()
                .to_str()?
                .strip_suffix(".log")
                .map(str::to_owned)
        })
        .filter(|name| name != OWN_LOG)
        .collect();
    names.sort();
    names
}

/// Those that are asked for, by instance or by service.
fn chosen(all: &[String], wanted: &[String]) -> Result<Vec<String>, Failure> {
    let is_of = |instance: &str, service: &str| {
        instance == service
            || instance
                .rsplit_once('-')
                .is_some_and(|(name, index)| name == service && index.parse::<u32>().is_ok())
    };
    if let Some(unknown) = wanted
        .iter()
        .find(|wanted| !all.iter().any(|instance| is_of(instance, wanted)))
    {
        return Err(Failure::new(
            Code::Failed,
            format!(
                "error: nothing named {unknown} has written a log; there are: {}",
                all.join(", ")
            ),
        ));
    }
    Ok(all
        .iter()
        .filter(|instance| wanted.is_empty() || wanted.iter().any(|wanted| is_of(instance, wanted)))
        .cloned()
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_chosen_by_service_or_instance() {
        let all: Vec<String> = ["order-1", "order-2", "order-service-1"]
            .map(str::to_owned)
            .to_vec();
        assert_eq!(
            chosen(&all, &["order".to_owned()]).unwrap(),
            ["order-1", "order-2"]
        );
        assert_eq!(chosen(&all, &["order-2".to_owned()]).unwrap(), ["order-2"]);
        assert_eq!(chosen(&all, &[]).unwrap(), all);
        assert!(
            chosen(&all, &["cart".to_owned()])
                .unwrap_err()
                .message
                .contains("order-service-1")
        );
    }
}
