//! The logs of several instances as one stream: who comes while it is read joins in.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::io;
use std::path::{Path, PathBuf};

use super::moment::written;
use super::terminal::{Paint, out, say};
use crate::lab::launch::OWN_LOG;
use crate::lab::logs::{Follower, Line, Window};
use crate::lab::state::StateDir;

/// Bytes that are printed at once.
const PIECE: usize = 64 * 1024;
/// What stands for a time that nobody knows: as wide as one.
const UNKNOWN: &str = "-                             ";

/// Several logs as one, each line behind its instance's name.
pub(super) struct Streams {
    /// Where the logs are.
    folder: PathBuf,
    /// The services or instances that are shown; none: all.
    wanted: Vec<String>,
    /// What of each is shown.
    window: Window,
    streams: Vec<Stream>,
    shown: Shown,
    pub(super) paint: Paint,
    /// Lines as they are, without a name before them.
    pub(super) bare: bool,
}

/// The log of one instance.
struct Stream {
    name: String,
    follower: Follower,
}

/// What is printed.
#[derive(Default)]
struct Shown {
    text: String,
    /// Of the longest name that was shown.
    width: usize,
    /// Instances some of whose lines have no times, and have been told of.
    untimed: BTreeSet<String>,
}

impl Streams {
    /// Those of these names as far as they are in the window. Of all others that are `wanted` what is written from now on: their
    /// files are of an earlier life, until somebody of their name comes.
    pub(super) fn new(
        state: &StateDir,
        names: &[String],
        wanted: &[String],
        window: Window,
    ) -> io::Result<Self> {
        let mut streams = Self {
            folder: state.logs(),
            wanted: wanted.to_vec(),
            window,
            streams: Vec::new(),
            shown: Shown {
                width: names.iter().map(String::len).max().unwrap_or(0),
                ..Shown::default()
            },
            paint: Paint::stdout(),
            bare: false,
        };
        for name in names {
            streams.join(name.clone(), window.lines)?;
        }
        for name in streams.newcomers() {
            streams.join(name, Some(0))?;
        }
        Ok(streams)
    }

    fn join(&mut self, name: String, lines: Option<usize>) -> io::Result<()> {
        let window = Window {
            lines,
            ..self.window
        };
        let follower = Follower::new(&self.folder.join(format!("{name}.log")), window)?;
        self.streams.push(Stream { name, follower });
        Ok(())
    }

    /// Instances that have a log, are wanted, and are not read yet.
    fn newcomers(&self) -> Vec<String> {
        let mut names = instances(&self.folder);
        names.retain(|name| {
            let is_read = self.streams.iter().any(|stream| stream.name == *name);
            let wanted = &self.wanted;
            !is_read && (wanted.is_empty() || wanted.iter().any(|wanted| is_of(name, wanted)))
        });
        names
    }

    /// Prints what has been written since, by whom ever: one after the other, or in the order of time where times are shown.
    pub(super) fn pump(&mut self) -> io::Result<()> {
        for name in self.newcomers() {
            self.join(name, None)?;
        }
        for stream in &mut self.streams {
            stream.follower.look()?;
        }
        if self.window.timed {
            self.merge()?;
        } else {
            for number in 0..self.streams.len() {
                while let Some(line) = self.next(number)? {
                    self.show(number, &line)?;
                }
            }
        }
        self.shown.print()
    }

    fn next(&mut self, number: usize) -> io::Result<Option<Line>> {
        self.streams[number].follower.next_line()
    }

    /// Always the earliest of their next lines; one of no known time at once, as those behind it may be early.
    fn merge(&mut self) -> io::Result<()> {
        let mut heads = BinaryHeap::new();
        let mut lines = Vec::new();
        for number in 0..self.streams.len() {
            let line = self.next(number)?;
            heads.extend(line.iter().map(|line| Reverse((line.nanos, number))));
            lines.push(line);
        }
        while let Some(Reverse((_, number))) = heads.pop() {
            let next = self.next(number)?;
            heads.extend(next.iter().map(|line| Reverse((line.nanos, number))));
            if let Some(line) = std::mem::replace(&mut lines[number], next) {
                self.show(number, &line)?;
            }
        }
        Ok(())
    }

    /// Prints lines that were left without an end.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        for number in 0..self.streams.len() {
            if let Some(line) = self.streams[number].follower.rest() {
                self.show(number, &line)?;
            }
        }
        self.shown.print()
    }

    fn show(&mut self, number: usize, line: &Line) -> io::Result<()> {
        let name = &self.streams[number].name;
        let shown = &mut self.shown;
        let chosen_by_time = self.window.since.or(self.window.until).is_some();
        if chosen_by_time && line.nanos.is_none() && shown.untimed.insert(name.clone()) {
            shown.print()?;
            say(&format!(
                "note: when some lines of {name} were written is not known: they are shown"
            ));
        }
        shown.width = shown.width.max(name.len());
        if !self.bare {
            let head = format!("{name:<width$} |", width = shown.width);
            shown.text.push_str(&self.paint.instance(number, &head));
            shown.text.push(' ');
        }
        if self.window.timed {
            let time = line.nanos.map(written);
            shown.text.push_str(time.as_deref().unwrap_or(UNKNOWN));
            shown.text.push(' ');
        }
        shown.text.push_str(&line.text);
        shown.text.push('\n');
        if shown.text.len() >= PIECE {
            shown.print()?;
        }
        Ok(())
    }
}

impl Shown {
    fn print(&mut self) -> io::Result<()> {
        if !self.text.is_empty() {
            out(&self.text)?;
            self.text.clear();
        }
        Ok(())
    }
}

/// Instances that have a log in this folder, whether or not they still run.
pub(super) fn instances(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            name.to_str()?.strip_suffix(".log").map(str::to_owned)
        })
        .filter(|name| name != OWN_LOG)
        .collect();
    names.sort();
    names
}

/// Whether an instance has this name, or is of the service of this name.
pub(super) fn is_of(instance: &str, wanted: &str) -> bool {
    let is_of_service = || {
        let (service, index) = instance.rsplit_once('-')?;
        Some(service == wanted && index.parse::<u32>().is_ok())
    };
    instance == wanted || is_of_service() == Some(true)
}
