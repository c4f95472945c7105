//! Reading logs: from the end, and as they grow.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{FILES, turned};

/// Most bytes read from the end of a file in search of its last lines.
const TAIL_WINDOW: u64 = 256 * 1024;

/// The last `count` lines; none when there is no file.
#[must_use]
pub fn tail(path: &Path, count: usize) -> Vec<String> {
    let mut follower = Follower::at_tail(path, Some(count));
    let mut lines = Vec::new();
    // What cannot be read has no last lines.
    let _ = follower.read(&mut |line| lines.push(line.to_owned()));
    if let Some(rest) = follower.rest() {
        lines.push(rest);
    }
    let surplus = lines.len().saturating_sub(count);
    lines.split_off(surplus)
}

/// Reads a log as it grows, line by line. When it has been turned over, the rest of the turned file comes first.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    /// The file that is being read. Held, so that no other one can get its number.
    file: Option<File>,
    offset: u64,
    partial: Vec<u8>,
}

impl Follower {
    /// Begins `lines` lines before the end of the current file, or at its beginning.
    #[must_use]
    pub fn at_tail(path: &Path, lines: Option<usize>) -> Self {
        let file = File::open(path).ok();
        let offset = match (&file, lines) {
            (Some(file), Some(lines)) => offset_of_tail(file, lines).unwrap_or(0),
            _ => 0,
        };
        Self {
            path: path.to_owned(),
            file,
            offset,
            partial: Vec::new(),
        }
    }

    /// Hands over every whole line that has been written since.
    ///
    /// # Errors
    /// When a file cannot be read; one that is not there is empty.
    pub fn read(&mut self, line: &mut dyn FnMut(&str)) -> io::Result<()> {
        let newer = self.newer()?;
        self.read_on(line)?;
        for file in newer {
            self.file = Some(file);
            self.offset = 0;
            self.read_on(line)?;
        }
        Ok(())
    }

    /// The files that have been begun since the one that is being read, in the order of their beginning. Of the time before this
    /// reader there are none.
    fn newer(&self) -> io::Result<Vec<File>> {
        let (held, files) = match &self.file {
            Some(file) => (Some(identity(file)?), FILES),
            None => (None, 1),
        };
        let mut newer = Vec::new();
        let mut seen = None;
        for number in 0..files {
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

    fn read_on(&mut self, line: &mut dyn FnMut(&str)) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let length = file.metadata()?.len();
        if length < self.offset {
            // Somebody has emptied it.
            self.offset = 0;
            self.partial.clear();
        }
        if length == self.offset {
            return Ok(());
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let mut reader = BufReader::new(file.take(length - self.offset));
        loop {
            let read = reader.read_until(b'\n', &mut self.partial)?;
            if read == 0 {
                return Ok(());
            }
            self.offset += read as u64;
            if self.partial.ends_with(b"\n") {
                line(String::from_utf8_lossy(&self.partial).trim_end_matches(['\n', '\r']));
                self.partial.clear();
            }
        }
    }

    /// What stands after the last line end, if anything.
    #[must_use]
    pub fn rest(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.partial);
        (!rest.is_empty()).then(|| String::from_utf8_lossy(&rest).into_owned())
    }
}

/// Device and number.
fn identity(file: &File) -> io::Result<(u64, u64)> {
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

fn offset_of_tail(mut file: &File, lines: usize) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let start = length.saturating_sub(TAIL_WINDOW);
    file.seek(SeekFrom::Start(start))?;
    let mut window = Vec::new();
    file.take(length - start).read_to_end(&mut window)?;
    // The line end that closes the last line does not begin another one.
    let body = window.strip_suffix(b"\n").unwrap_or(&window);
    let line_ends = body
        .iter()
        .enumerate()
        .rev()
        .filter(|(_, byte)| **byte == b'\n');
    let begin = match lines.checked_sub(1) {
        None => window.len(),
        Some(before) => line_ends
            .map(|(position, _)| position + 1)
            .nth(before)
            .unwrap_or(0),
    };
    Ok(start + begin as u64)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;
    use crate::lab::logs::{open, turn_over};

    fn read(follower: &mut Follower) -> Vec<String> {
        let mut lines = Vec::new();
        follower
            .read(&mut |line| lines.push(line.to_owned()))
            .unwrap();
        lines
    }

    #[test]
    fn a_follower_sees_whole_lines_and_misses_none_when_files_are_turned_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        fs::write(turned(&path, 1), "before\n").unwrap();
        let mut follower = Follower::at_tail(&path, None);
        assert!(read(&mut follower).is_empty());
        let mut log = open(&path).unwrap();
        write!(log, "one\ntwo\nthr").unwrap();
        assert_eq!(read(&mut follower), ["one", "two"]);
        write!(log, "ee\nfo").unwrap();
        turn_over(&path, 0).unwrap();
        fs::write(&path, "ur\n5\n").unwrap();
        assert_eq!(read(&mut follower), ["three", "four", "5"]);
        // Twice between two looks.
        fs::write(&path, "ur\n5\n6\n").unwrap();
        turn_over(&path, 0).unwrap();
        fs::write(&path, "7\n").unwrap();
        turn_over(&path, 0).unwrap();
        fs::write(&path, "8\n").unwrap();
        assert_eq!(read(&mut follower), ["6", "7", "8"]);
        fs::write(&path, "").unwrap();
        assert!(read(&mut follower).is_empty());
        fs::write(&path, "9\n").unwrap();
        assert_eq!(read(&mut follower), ["9"], "somebody has emptied it");
    }

    #[test]
    fn the_tail_is_the_last_lines_whole_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        assert!(tail(&path, 3).is_empty());
        fs::write(&path, "1\n2\n3\n").unwrap();
        assert_eq!(tail(&path, 2), ["2", "3"]);
        assert_eq!(tail(&path, 9), ["1", "2", "3"]);
        fs::write(&path, "1\n2\n\n4").unwrap();
        assert_eq!(tail(&path, 2), ["", "4"]);
        assert_eq!(tail(&path, 0), [""; 0]);
    }
}
