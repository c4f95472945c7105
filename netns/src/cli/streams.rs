//! The logs of several instances as one stream: who comes while it is read joins in.

use std::path::{Path, PathBuf};

use super::terminal::{Paint, out};
use crate::lab::launch::OWN_LOG;
use crate::lab::logs::Follower;
use crate::lab::state::StateDir;

/// Several logs as one, each line behind its instance's name.
pub(super) struct Streams {
    /// Where the logs are.
    folder: PathBuf,
    /// The services or instances that are shown; none: all.
    wanted: Vec<String>,
    streams: Vec<(String, Follower)>,
    pub(super) paint: Paint,
    /// Of the longest name that was shown.
    width: usize,
    /// Lines as they are, without a name before them.
    pub(super) bare: bool,
}

impl Streams {
    /// Those of these names from `tail` lines before the end, or from the beginning. Of all others that are `wanted` what is
    /// written from now on: their files are of an earlier life, until somebody of their name comes.
    pub(super) fn new(
        state: &StateDir,
        names: &[String],
        wanted: &[String],
        tail: Option<usize>,
    ) -> Self {
        let mut streams = Self {
            folder: state.logs(),
            wanted: wanted.to_vec(),
            streams: Vec::new(),
            paint: Paint::stdout(),
            width: names.iter().map(String::len).max().unwrap_or(0),
            bare: false,
        };
        for name in names {
            streams.join(name.clone(), tail);
        }
        for name in streams.newcomers() {
            streams.join(name, Some(0));
        }
        streams
    }

    fn join(&mut self, name: String, tail: Option<usize>) {
        let follower = Follower::at_tail(&self.folder.join(format!("{name}.log")), tail);
        self.streams.push((name, follower));
    }

    /// Instances that have a log, are wanted, and are not read yet.
    fn newcomers(&self) -> Vec<String> {
        let mut names = instances(&self.folder);
        names.retain(|name| {
            let is_read = self.streams.iter().any(|(read, _)| read == name);
            let wanted = &self.wanted;
            !is_read && (wanted.is_empty() || wanted.iter().any(|wanted| is_of(name, wanted)))
        });
        names
    }

    /// Prints what has been written since, by whom ever.
    pub(super) fn pump(&mut self) -> std::io::Result<()> {
        for name in self.newcomers() {
            self.join(name, None);
        }
        self.print(|follower, text| follower.read(&mut |line| text.push(line.to_owned())))
    }

    /// Prints lines that were left without an end.
    pub(super) fn finish(&mut self) -> std::io::Result<()> {
        self.print(|follower, text| {
            text.extend(follower.rest());
            Ok(())
        })
    }

    fn print(
        &mut self,
        mut lines_of: impl FnMut(&mut Follower, &mut Vec<String>) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        for (number, (name, follower)) in self.streams.iter_mut().enumerate() {
            let mut lines = Vec::new();
            lines_of(follower, &mut lines)?;
            if lines.is_empty() {
                continue;
            }
            self.width = self.width.max(name.len());
            let width = self.width;
            let prefix = match self.bare {
                true => String::new(),
                false => {
                    let head = format!("{name:<width$} |");
                    format!("{} ", self.paint.instance(number, &head))
                }
            };
            let text: String = lines
                .iter()
                .map(|line| format!("{prefix}{line}\n"))
                .collect();
            out(&text)?;
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
