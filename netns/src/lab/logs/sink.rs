//! Where what an instance writes goes: its log, which is turned over before it would get too long.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::sidecar::{RECORDS, Stamper};
use super::{open, turn_over};

/// The one who writes an instance's log.
#[derive(Debug)]
pub struct Sink {
    path: PathBuf,
    limit: u64,
    /// `None`: it could not be opened anew after it was turned over.
    file: Option<File>,
    length: u64,
    stamper: Stamper,
    /// Whether its last line has an end.
    at_line_end: bool,
    /// Bytes that could not be written since the last that could.
    missing: u64,
    /// Why.
    reason: String,
}

impl Sink {
    /// Writes to `file`, which is the log at `path`, opened for appending; no file of it gets longer than `limit` bytes.
    #[must_use]
    pub fn new(path: &Path, file: File, limit: u64) -> Self {
        let mut sink = Self {
            path: path.to_owned(),
            limit: limit.max(1),
            file: None,
            length: 0,
            stamper: Stamper::new(path, RECORDS),
            at_line_end: true,
            missing: 0,
            reason: String::new(),
        };
        sink.resume(file);
        sink
    }

    /// Writes on to `file`, which is the same log by now.
    pub fn resume(&mut self, file: File) {
        // One that cannot be measured is turned over.
        self.length = file
            .metadata()
            .map_or(self.limit, |metadata| metadata.len());
        self.file = Some(file);
        self.stamper.begin_anew();
    }

    /// Writes what has come at this time, in nanoseconds since 1970. What cannot be written, on a full disk, is dropped: the next
    /// line that can be says how much.
    pub fn write(&mut self, bytes: &[u8], now: u64) {
        if self.missing > 0 {
            if self.append(self.note().as_bytes(), now).is_err() {
                self.missing += bytes.len() as u64;
                return;
            }
            tracing::info!(log = %self.path.display(), bytes = self.missing, "the log is written again");
            self.missing = 0;
        }
        if let Err((left, error)) = self.append(bytes, now) {
            self.missing = left as u64;
            self.reason = reason(&error);
            tracing::warn!(%error, log = %self.path.display(), "the log cannot be written");
        }
    }

    fn note(&self) -> String {
        let begin = if self.at_line_end { "" } else { "\n" };
        format!(
            "{begin}netns-setup: {}: {} bytes are missing here\n",
            self.reason, self.missing
        )
    }

    /// Appends all of it, to more than one file where need be; else tells how many bytes have not been written, and why.
    fn append(&mut self, mut bytes: &[u8], now: u64) -> Result<(), (usize, io::Error)> {
        while !bytes.is_empty() {
            // Somebody may have emptied it.
            if let Some(Ok(metadata)) = self.file.as_ref().map(File::metadata) {
                self.length = metadata.len();
            }
            let piece = fitting(bytes, self.limit.saturating_sub(self.length), self.limit);
            let written = match &mut self.file {
                Some(file) if piece > 0 && !self.stamper.is_full() => {
                    self.stamper.stamp(file, self.length, piece, now);
                    file.write(&bytes[..piece])
                }
                _ => match self.open_anew() {
                    Ok(()) => continue,
                    Err(error) => return Err((bytes.len(), error)),
                },
            };
            match written {
                Ok(0) => return Err((bytes.len(), io::ErrorKind::WriteZero.into())),
                Ok(written) => {
                    self.length += written as u64;
                    self.at_line_end = bytes[written - 1] == b'\n';
                    bytes = &bytes[written..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((bytes.len(), error)),
            }
        }
        Ok(())
    }

    fn open_anew(&mut self) -> io::Result<()> {
        self.file = None;
        self.length = 0;
        turn_over(&self.path, 0)?;
        self.file = Some(open(&self.path)?);
        self.stamper.begin_anew();
        Ok(())
    }
}

/// How many of the bytes go into so much room: whole lines if not all, unless a line has no room in any file.
fn fitting(bytes: &[u8], room: u64, limit: u64) -> usize {
    let whole = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let room_now = whole(room);
    if bytes.len() <= room_now {
        return bytes.len();
    }
    let line_end = bytes[..room_now].iter().rposition(|byte| *byte == b'\n');
    match line_end {
        Some(position) => position + 1,
        None if room == limit => room_now,
        None => 0,
    }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "the disk was full".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::lab::logs::{FILES, Follower, Window, turned};

    fn sink(path: &Path, limit: u64) -> Sink {
        Sink::new(path, open(path).unwrap(), limit)
    }

    /// From the oldest to the current one.
    fn files(path: &Path) -> Vec<Vec<u8>> {
        let read = |number| fs::read(turned(path, number)).ok();
        (0..FILES).rev().filter_map(read).collect()
    }

    #[test]
    fn a_file_is_turned_over_between_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut sink = sink(&path, 10);
        sink.write(b"one\ntwo\nthree\n", 1);
        assert_eq!(files(&path), [&b"one\ntwo\n"[..], b"three\n"]);
        sink.write(b"four\n", 1);
        assert_eq!(files(&path), [&b"one\ntwo\n"[..], b"three\n", b"four\n"]);
        sink.write(b"longer than a file\n", 1);
        assert_eq!(files(&path), [&b"four\n"[..], b"longer tha", b"n a file\n"]);
    }

    #[test]
    fn one_who_starts_again_writes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut sink = sink(&path, 10);
        sink.write(b"one\n", 1);
        turn_over(&path, 0).unwrap();
        fs::write(&path, "two\n").unwrap();
        sink.resume(open(&path).unwrap());
        sink.write(b"three\n", 1);
        assert_eq!(files(&path), [&b"one\n"[..], b"two\nthree\n"]);
        sink.write(b"4\n", 1);
        assert_eq!(files(&path), [&b"one\n"[..], b"two\nthree\n", b"4\n"]);
    }

    #[test]
    fn what_could_not_be_written_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut sink = sink(&path, 1000);
        sink.write(b"half a li", 1);
        let full = File::options().append(true).open("/dev/full").unwrap();
        let file = sink.file.replace(full).unwrap();
        sink.write(b"ne\n", 1);
        sink.write(b"another\n", 1);
        sink.file = Some(file);
        sink.write(b"and on\n", 1);
        assert_eq!(
            String::from_utf8(fs::read(&path).unwrap()).unwrap(),
            "half a li\nnetns-setup: the disk was full: 11 bytes are missing here\nand on\n"
        );
    }

    #[test]
    fn a_file_of_many_small_pieces_is_turned_over_before_its_times_outgrow_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut sink = sink(&path, 1000);
        sink.stamper = Stamper::new(&path, 3);
        for piece in [b"1\n", b"2\n", b"3\n", b"4\n"] {
            sink.write(piece, 1);
        }
        assert_eq!(files(&path), [&b"1\n2\n3\n"[..], b"4\n"]);
    }

    #[test]
    fn times_that_cannot_be_noted_cost_no_byte() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let in_the_way = folder.path().join("a.times");
        fs::create_dir(&in_the_way).unwrap();
        let mut sink = sink(&path, 1000);
        sink.write(b"one\n", 1);
        fs::remove_dir(&in_the_way).unwrap();
        sink.write(b"two\n", 2);
        assert_eq!(files(&path), [b"one\ntwo\n"]);
        let times = Window {
            timed: true,
            ..Window::default()
        };
        let mut follower = Follower::new(&path, times).unwrap();
        follower.look().unwrap();
        let nanos: Vec<_> = std::iter::from_fn(|| follower.next_line().unwrap())
            .map(|line| line.nanos)
            .collect();
        assert_eq!(nanos, [None, Some(2)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever is written in whatever pieces: the files are its end, and none is longer than it may be.
        #[test]
        fn files_keep_their_bound_and_lose_nothing_between_them(
            pieces in proptest::collection::vec("[ab\n]{0,40}", 0..20),
            limit in 1_u64..50,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.log");
            let mut sink = sink(&path, limit);
            for piece in &pieces {
                sink.write(piece.as_bytes(), 1);
                for file in files(&path) {
                    prop_assert!(file.len() as u64 <= limit);
                }
            }
            let all = pieces.concat();
            let kept = files(&path);
            prop_assert!(all.as_bytes().ends_with(&kept.concat()));
            if kept.len() < FILES as usize {
                prop_assert_eq!(kept.concat(), all.as_bytes());
            }
        }
    }
}
