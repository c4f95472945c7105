//! Log files: one an instance, written by its processes themselves.
//!
//! Each instance's standard output and error *are* its file, opened for appending, so that no reader stands between: a lab
//! that is busy, hung or killed can neither block a service nor lose what it wrote. A file that outgrows [`LIMIT`] is emptied after its
//! last [`LIMIT`] bytes have been copied aside (what is written between the two is lost; writers that append go on at the new end).

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Bytes after which a file is turned over.
pub const LIMIT: u64 = 10_000_000;
/// Files kept of an instance, the current one included.
pub const FILES: u32 = 3;
/// Most bytes read from the end of a file in search of its last lines.
const TAIL_WINDOW: u64 = 256 * 1024;

/// Opens an instance's log for appending.
///
/// # Errors
/// When it cannot be created.
pub fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

/// Turns the file over if it is longer than `limit`: `x.log` becomes `x.log.1`, that `x.log.2`, and the oldest goes. Takes the same
/// time however fast the file grows meanwhile. On a full disk what was to be kept is dropped, and the file says so.
///
/// # Errors
/// When a file cannot be copied or emptied.
pub fn rotate(path: &Path, limit: u64) -> io::Result<bool> {
    let length = fs::metadata(path).map_or(0, |metadata| metadata.len());
    if length <= limit {
        return Ok(false);
    }
    let aside = turned(path, 0);
    let copied = copy_end(path, length, &aside);
    match &copied {
        Ok(()) => {
            for number in (0..FILES - 1).rev() {
                match fs::rename(turned(path, number), turned(path, number + 1)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        Err(_) => {
            let _ = fs::remove_file(aside); // it may not even have been made
        }
    }
    let mut file = OpenOptions::new().append(true).open(path)?;
    file.set_len(0)?;
    match copied {
        Err(error) if is_full(&error) => writeln!(
            file,
            "netns-setup: {length} bytes of this log were dropped: {error}"
        )?,
        outcome => outcome?,
    }
    Ok(true)
}

/// Whether it says that there is no room.
fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Copies the last [`LIMIT`] of the first `length` bytes, from the beginning of a line.
fn copy_end(path: &Path, length: u64, to: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    let skipped = length.saturating_sub(LIMIT);
    file.seek(SeekFrom::Start(skipped))?;
    let mut end = BufReader::new(file.take(length - skipped));
    if skipped > 0 {
        end.skip_until(b'\n')?;
    }
    let mut to = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(to)?;
    io::copy(&mut end, &mut to).map(drop)
}

fn turned(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

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

/// Reads a log as it grows, line by line. Survives its being turned over.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    offset: u64,
    partial: Vec<u8>,
}

impl Follower {
    /// Begins `lines` lines before the end, or at the beginning.
    #[must_use]
    pub fn at_tail(path: &Path, lines: Option<usize>) -> Self {
        let offset = lines.map_or(0, |lines| offset_of_tail(path, lines).unwrap_or(0));
        Self {
            path: path.to_owned(),
            offset,
            partial: Vec::new(),
        }
    }

    /// Hands over every whole line that has been written since.
    ///
    /// # Errors
    /// When the file cannot be read; a file that is not there is empty.
    pub fn read(&mut self, line: &mut dyn FnMut(&str)) -> io::Result<()> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            result => result?,
        };
        let length = file.metadata()?.len();
        if length < self.offset {
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

fn offset_of_tail(path: &Path, lines: usize) -> io::Result<u64> {
    let mut file = File::open(path)?;
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
    use super::*;

    fn read(follower: &mut Follower) -> Vec<String> {
        let mut lines = Vec::new();
        follower
            .read(&mut |line| lines.push(line.to_owned()))
            .unwrap();
        lines
    }

    #[test]
    fn a_follower_sees_whole_lines_and_survives_a_turn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut follower = Follower::at_tail(&path, None);
        assert!(read(&mut follower).is_empty());
        let mut log = open(&path).unwrap();
        write!(log, "one\ntwo\nthr").unwrap();
        assert_eq!(read(&mut follower), ["one", "two"]);
        writeln!(log, "ee").unwrap();
        assert_eq!(read(&mut follower), ["three"]);
        assert!(!rotate(&path, 100).unwrap() && rotate(&path, 5).unwrap());
        writeln!(log, "4").unwrap();
        assert_eq!(read(&mut follower), ["4"]);
        assert_eq!(
            fs::read_to_string(turned(&path, 1)).unwrap(),
            "one\ntwo\nthree\n"
        );
        for _ in 0..4 {
            writeln!(log, "again and again").unwrap();
            rotate(&path, 5).unwrap();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), FILES as usize);
    }

    #[test]
    fn of_what_grew_too_fast_the_last_lines_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let line = format!("{}\n", "x".repeat(999));
        let lines = usize::try_from(LIMIT / 1000).unwrap() + 500;
        fs::write(&path, line.repeat(lines) + "last\n").unwrap();
        assert!(rotate(&path, LIMIT).unwrap());
        let kept = fs::read_to_string(turned(&path, 1)).unwrap();
        assert!(kept.len() as u64 <= LIMIT && kept.len() as u64 > LIMIT - 1000);
        assert!(kept.starts_with(&line) && kept.ends_with("\nlast\n"));
        assert_eq!(fs::read(&path).unwrap(), b"");
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
