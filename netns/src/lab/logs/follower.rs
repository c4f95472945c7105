//! Reading logs: from the end, and as they grow.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::sidecar::Stamps;
use super::window::{self, Window};
use super::{FILES, turned};

/// Most bytes read from the end of a file in search of its last lines.
const TAIL_WINDOW: u64 = 256 * 1024;

/// The last `count` lines; none when there is no file, nor where it cannot be read.
#[must_use]
pub fn tail(path: &Path, count: usize) -> Vec<String> {
    let lines = || -> io::Result<Vec<String>> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let low = length.saturating_sub(TAIL_WINDOW);
        let (begin, _) = window::tail(&file, low, length, count)?;
        let mut text = Vec::new();
        let mut reader = BufReader::new(file);
        reader.seek(SeekFrom::Start(begin))?;
        reader.take(length - begin).read_to_end(&mut text)?;
        Ok(text
            .split_inclusive(|byte| *byte == b'\n')
            .map(shown)
            .collect())
    };
    lines().unwrap_or_default()
}

/// A line without its end.
fn shown(line: &[u8]) -> String {
    String::from_utf8_lossy(line)
        .trim_end_matches(['\n', '\r'])
        .to_owned()
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Without its end.
    pub text: String,
    /// When it was complete, in nanoseconds since 1970; `None`: nobody has noted it, or asked for it.
    pub nanos: Option<u64>,
}

/// Reads a log as it grows, line by line. When it has been turned over, the rest of the turned file comes first.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    window: Window,
    /// Those that are still to be read, in the order of their beginning. The last is kept: held, so that no other one can get its number.
    files: VecDeque<Reading>,
    partial: Vec<u8>,
}

/// A file that is being read.
#[derive(Debug)]
struct Reading {
    reader: BufReader<File>,
    offset: u64,
    /// As far as it is read before it is looked at again.
    end: u64,
    stamps: Option<Stamps>,
}

impl Reading {
    fn new(file: File, offset: u64) -> Self {
        Self {
            reader: BufReader::new(file),
            offset,
            end: offset,
            stamps: None,
        }
    }

    fn file(&self) -> &File {
        self.reader.get_ref()
    }

    /// Sees how far it goes by now, and then what is known of the times of that: a time is noted before its bytes are written.
    fn look(&mut self, path: &Path, window: &Window) -> io::Result<bool> {
        let length = self.file().metadata()?.len();
        let was_emptied = length < self.offset;
        if was_emptied {
            (self.offset, self.stamps) = (0, None);
            self.reader.seek(SeekFrom::Start(0))?;
        }
        self.end = length;
        if window.is_timed() && length > self.offset {
            match &mut self.stamps {
                Some(stamps) => {
                    stamps.times.forget_before(self.offset);
                    stamps.refresh()?;
                }
                None => self.stamps = Stamps::of(path, self.reader.get_ref())?,
            }
        }
        Ok(was_emptied)
    }

    /// When the byte before the next one was taken in.
    fn nanos(&self) -> Option<u64> {
        let stamps = self.stamps.as_ref()?;
        stamps.times.of(self.offset.checked_sub(1)?)
    }
}

impl Follower {
    /// Begins with what is wanted of the current file, and where a time says so of those before it.
    ///
    /// # Errors
    /// When a file cannot be read; one that is not there is empty.
    pub fn new(path: &Path, window: Window) -> io::Result<Self> {
        let mut follower = Self {
            path: path.to_owned(),
            window,
            files: VecDeque::new(),
            partial: Vec::new(),
        };
        let numbers = if window.since.is_some() { FILES } else { 1 };
        let mut lines = window.lines;
        for file in follower.begun_since(None, numbers)?.into_iter().rev() {
            let mut reading = Reading::new(file, 0);
            reading.look(path, &window)?;
            let times = reading.stamps.as_ref().map(|stamps| &stamps.times);
            let begin = window.begin(reading.file(), reading.end, times, lines)?;
            (reading.offset, lines) = begin;
            reading.reader.seek(SeekFrom::Start(reading.offset))?;
            follower.files.push_front(reading);
        }
        Ok(follower)
    }

    /// Sees what has been written since. [`Follower::next_line`] gives it out.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn look(&mut self) -> io::Result<()> {
        let (held, numbers) = match self.files.back() {
            Some(reading) => (Some(identity(reading.file())?), FILES),
            None => (None, 1),
        };
        let newer = self.begun_since(held, numbers)?;
        self.files
            .extend(newer.into_iter().map(|file| Reading::new(file, 0)));
        for reading in &mut self.files {
            if reading.look(&self.path, &self.window)? {
                self.partial.clear();
            }
        }
        Ok(())
    }

    /// The files that have been begun since that one, in the order of their beginning. Of the time before this reader there are
    /// none but those of so many numbers.
    fn begun_since(&self, held: Option<(u64, u64)>, numbers: u32) -> io::Result<Vec<File>> {
        let mut newer = Vec::new();
        let mut seen = None;
        for number in 0..numbers {
            let file = match File::open(turned(&self.path, number)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                result => result?,
            };
            let found = Some(identity(&file)?);
            if found == held {
                break;
            }
            // One that has been turned over between two of these looks is met twice.
            if found != seen {
                newer.push(file);
            }
            seen = found;
        }
        newer.reverse();
        Ok(newer)
    }

    /// The next whole line of those that were there at the last look, as far as it is wanted.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn next_line(&mut self) -> io::Result<Option<Line>> {
        while let Some(reading) = self.files.front_mut() {
            let left = reading.end.saturating_sub(reading.offset);
            let mut reader = reading.reader.by_ref().take(left);
            let read = reader.read_until(b'\n', &mut self.partial)?;
            reading.offset += read as u64;
            if read == 0 {
                if self.files.len() == 1 {
                    return Ok(None);
                }
                self.files.pop_front();
                if self.files.front().is_some_and(|next| next.offset > 0) {
                    self.partial.clear(); // that line ends before what is wanted
                }
            } else if self.partial.ends_with(b"\n") {
                let nanos = reading.nanos();
                let text = shown(&self.partial);
                self.partial.clear();
                if self.window.has(nanos) {
                    return Ok(Some(Line { text, nanos }));
                }
            }
        }
        Ok(None)
    }

    /// What stands after the last line end, if anything.
    #[must_use]
    pub fn rest(&mut self) -> Option<Line> {
        let rest = std::mem::take(&mut self.partial);
        let nanos = self.files.front().and_then(Reading::nanos);
        let text = String::from_utf8_lossy(&rest).into_owned();
        (!rest.is_empty() && self.window.has(nanos)).then_some(Line { text, nanos })
    }
}

/// Device and number.
fn identity(file: &File) -> io::Result<(u64, u64)> {
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}
