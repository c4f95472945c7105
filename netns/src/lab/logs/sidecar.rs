//! The file beside a log that says when what was written: `x.times` beside `x.log`, turned over with it.
//!
//! It begins with the number of its log's file (`st_ino`), so that no log is ever given the times of another, whatever was
//! renamed, removed or interrupted. Lost or of an earlier version, it costs the times of its log and nothing else.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::times::{RECORD, Record, Times};
use super::{FILES, turned};

/// How a sidecar begins; the number of its log's file follows. Together they are as long as a record.
const MAGIC: [u8; 8] = *b"nstimes\x01";
const HEAD: u64 = RECORD as u64;
/// Records that a file may have: no more bytes than a log. A log of shorter pieces is turned over before it is full.
pub(super) const RECORDS: u64 = super::LIMIT / RECORD as u64 - 1;

/// The sidecar of the log at this path.
pub(super) fn beside(log: &Path) -> PathBuf {
    log.with_extension("times")
}

fn head(log: &File) -> io::Result<[u8; RECORD]> {
    let mut head = [0; RECORD];
    head[..8].copy_from_slice(&MAGIC);
    head[8..].copy_from_slice(&log.metadata()?.ino().to_le_bytes());
    Ok(head)
}

/// The one who notes times.
#[derive(Debug)]
pub(super) struct Stamper {
    path: PathBuf,
    most: u64,
    file: Option<File>,
    records: u64,
    /// Where the last piece began.
    begin: u32,
    /// The latest time noted in this file: none goes back behind it, but a clock that was wrong is so for one file only.
    latest: u64,
    has_complained: bool,
}

impl Stamper {
    /// For the log at this path; `most` records go into a file.
    pub(super) fn new(log: &Path, most: u64) -> Self {
        Self {
            path: beside(log),
            most: most.max(1),
            file: None,
            records: 0,
            begin: 0,
            latest: 0,
            has_complained: false,
        }
    }

    /// Whether another record would be one too many.
    pub(super) fn is_full(&self) -> bool {
        self.records >= self.most
    }

    /// The log goes on in another file.
    pub(super) fn begin_anew(&mut self) {
        self.file = None;
        self.records = 0;
        self.begin = 0;
        self.latest = 0;
    }

    /// Notes when the next piece, of so many bytes from `begin` on, is written to `log`. That it cannot be noted is no reason
    /// not to write it.
    pub(super) fn stamp(&mut self, log: &File, begin: u64, length: usize, now: u64) {
        match self.stamped(log, begin, length, now) {
            Ok(()) => self.has_complained = false,
            Err(error) if !std::mem::replace(&mut self.has_complained, true) => {
                tracing::warn!(%error, file = %self.path.display(), "when a log was written cannot be noted");
            }
            Err(_) => {}
        }
    }

    fn stamped(&mut self, log: &File, begin: u64, length: usize, now: u64) -> io::Result<()> {
        let place = |offset: u64| u32::try_from(offset).map_err(io::Error::other);
        let end = place(begin.saturating_add(length as u64))?;
        let begin = place(begin)?;
        if self.file.is_none() {
            self.file = Some(self.open(log, begin)?);
        }
        let Some(file) = &self.file else {
            return Ok(()); // cannot be
        };
        if begin < self.begin {
            // Somebody has emptied the log.
            file.set_len(HEAD)?;
            self.records = 0;
        }
        let nanos = now.max(self.latest);
        let record = Record { begin, end, nanos };
        // Over what a record that found no room may have left.
        file.write_all_at(&record.to_bytes(), HEAD + self.records * RECORD as u64)?;
        self.records += 1;
        self.begin = begin;
        self.latest = nanos;
        Ok(())
    }

    /// The sidecar, which is gone on with if it is this log's and says nothing of what is not written yet.
    fn open(&mut self, log: &File, length: u32) -> io::Result<File> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&self.path)?;
        let head = head(log)?;
        let records = (file.metadata()?.len() / RECORD as u64).saturating_sub(1);
        let mut found = [0; RECORD];
        let is_ours = records > 0 && file.read_exact_at(&mut found, 0).is_ok() && found == head;
        self.records = 0;
        self.begin = 0;
        if is_ours {
            file.read_exact_at(&mut found, records * RECORD as u64)?;
            let last = Record::from_bytes(found);
            if last.begin <= length {
                self.records = records;
                self.begin = last.begin;
                self.latest = self.latest.max(last.nanos);
                return Ok(file);
            }
        }
        file.set_len(0)?;
        file.write_all_at(&head, 0)?;
        Ok(file)
    }
}

/// The times of a log that is read, and may grow.
#[derive(Debug)]
pub(super) struct Stamps {
    file: File,
    read: u64,
    pub(super) times: Times,
}

impl Stamps {
    /// Those of a log of this name; `None`: nobody has noted any.
    pub(super) fn of(path: &Path, log: &File) -> io::Result<Option<Self>> {
        let head = head(log)?;
        // While files are turned over their numbers grow: who looks in this order misses none.
        for number in 0..FILES {
            let file = match File::open(turned(&beside(path), number)) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                result => result?,
            };
            let mut found = [0; RECORD];
            if file.read_exact_at(&mut found, 0).is_ok() && found == head {
                let (read, times) = (HEAD, Times::default());
                let mut stamps = Self { file, read, times };
                stamps.refresh()?;
                return Ok(Some(stamps));
            }
        }
        Ok(None)
    }

    /// Takes in what has been noted since.
    pub(super) fn refresh(&mut self) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        let whole = usize::try_from(length.saturating_sub(self.read)).map_err(io::Error::other)?;
        let mut bytes = vec![0; whole / RECORD * RECORD];
        self.file.read_exact_at(&mut bytes, self.read)?;
        self.read += self.times.extend(&bytes) as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::lab::logs::{open, turn_over};

    fn known(path: &Path, log: &File, places: &[u64]) -> Vec<Option<u64>> {
        let stamps = Stamps::of(path, log).unwrap();
        let of = |place: &u64| stamps.as_ref()?.times.of(*place);
        places.iter().map(of).collect()
    }

    #[test]
    fn times_are_found_by_the_log_they_belong_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let old = open(&path).unwrap();
        assert!(Stamps::of(&path, &old).unwrap().is_none());
        let mut stamper = Stamper::new(&path, 10);
        stamper.stamp(&old, 0, 4, 10);
        fs::write(&path, "one\n").unwrap();
        turn_over(&path, 0).unwrap();
        let new = open(&path).unwrap();
        stamper.begin_anew();
        stamper.stamp(&new, 0, 4, 20);
        assert_eq!(known(&path, &old, &[0, 4]), [Some(10), None]);
        assert_eq!(known(&path, &new, &[0, 4]), [Some(20), None]);
        // Renamed by half: the names do not fit, the numbers do.
        fs::rename(turned(&path, 1), turned(&path, 2)).unwrap();
        assert_eq!(known(&path, &old, &[0]), [Some(10)]);
        fs::remove_file(beside(&path)).unwrap();
        assert_eq!(known(&path, &new, &[0]), [None]);
    }

    #[test]
    fn who_comes_later_goes_on_where_the_last_whole_record_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let log = open(&path).unwrap();
        Stamper::new(&path, 10).stamp(&log, 0, 4, 50);
        let beside = beside(&path);
        let mut bytes = fs::read(&beside).unwrap();
        bytes.extend([1, 2, 3]); // torn
        fs::write(&beside, bytes).unwrap();
        Stamper::new(&path, 10).stamp(&log, 4, 2, 20);
        assert_eq!(
            known(&path, &log, &[3, 5]),
            [Some(50), Some(50)],
            "time does not go back"
        );
        assert_eq!(fs::metadata(&beside).unwrap().len(), 48);
        // Emptied in between: what is said of it is of nothing any more.
        Stamper::new(&path, 10).stamp(&log, 0, 4, 60);
        assert_eq!(known(&path, &log, &[0, 5]), [Some(60), None]);
        fs::write(&beside, "something else").unwrap();
        assert_eq!(known(&path, &log, &[0]), [None]);
        Stamper::new(&path, 10).stamp(&log, 4, 1, 70);
        assert_eq!(known(&path, &log, &[0, 4]), [None, Some(70)]);
    }
}
