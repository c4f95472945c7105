//! Which part of a log is read, and where it begins.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::times::Times;

/// Bytes read at once in search of line ends.
const BLOCK: u64 = 64 * 1024;

/// What is wanted of a log. Times are nanoseconds since 1970; a line's is that of its end, when it was complete.
#[derive(Debug, Clone, Copy, Default)]
pub struct Window {
    /// The last so many lines of what was there at first; `None`: all.
    pub lines: Option<usize>,
    /// Nothing earlier. Files that have been turned over are looked into.
    pub since: Option<u64>,
    /// Nothing later.
    pub until: Option<u64>,
    /// Whether the times of lines are wanted.
    pub timed: bool,
}

impl Window {
    /// What is written from now on.
    #[must_use]
    pub fn to_come() -> Self {
        Self {
            lines: Some(0),
            ..Self::default()
        }
    }

    /// Whether times matter.
    pub(super) fn is_timed(&self) -> bool {
        self.timed || self.since.is_some() || self.until.is_some()
    }

    /// Whether a line of that time belongs to it. One whose time nobody knows does: rather a line too many than one that is missed.
    pub(super) fn has(&self, nanos: Option<u64>) -> bool {
        let Some(nanos) = nanos else { return true };
        self.since.is_none_or(|since| nanos >= since)
            && self.until.is_none_or(|until| nanos <= until)
    }

    /// Where to begin in a file of that length, and how many lines are left for those before it.
    pub(super) fn begin(
        &self,
        file: &File,
        length: u64,
        times: Option<&Times>,
        lines: Option<usize>,
    ) -> io::Result<(u64, Option<usize>)> {
        let line_of = |place: u64| -> io::Result<u64> {
            let before = line_ends_before(file, 0, place.min(length), 1)?;
            Ok(before.place.map_or(0, |end| end + 1))
        };
        let low = match (self.since, times) {
            (Some(since), Some(times)) => line_of(times.begin(since))?,
            // Whatever it has was written before.
            (Some(since), None) if nanos_of_change(file)? < since => length,
            _ => 0,
        };
        let Some(lines) = lines else {
            return Ok((low, None));
        };
        let high = match self.until.and_then(|until| times?.end(until)) {
            Some(place) => line_of(place)?.max(low),
            None => length,
        };
        let (begin, found) = tail(file, low, high, lines)?;
        Ok((begin, Some(lines - found)))
    }
}

/// When the file was written to last.
fn nanos_of_change(file: &File) -> io::Result<u64> {
    let since_1970 = file.metadata()?.modified()?;
    let since_1970 = since_1970.duration_since(std::time::UNIX_EPOCH);
    Ok(since_1970.map_or(0, crate::lab::clock::nanoseconds))
}

/// Where the last `lines` lines between two places begin, and how many there are.
pub(super) fn tail(file: &File, low: u64, high: u64, lines: usize) -> io::Result<(u64, usize)> {
    if lines == 0 || high <= low {
        return Ok((high, 0));
    }
    // The line end that closes the last line does not begin another one.
    let mut last = [0];
    file.read_exact_at(&mut last, high - 1)?;
    let body = if last == *b"\n" { high - 1 } else { high };
    let before = line_ends_before(file, low, body, lines)?;
    Ok(match before.place {
        Some(end) => (end + 1, lines),
        None => (low, before.count + 1),
    })
}

/// Line ends before a place.
struct LineEnds {
    /// The one that was asked for; `None`: there are not so many.
    place: Option<u64>,
    count: usize,
}

/// The `number`th line end before `high`, and not before `low`.
fn line_ends_before(file: &File, low: u64, high: u64, number: usize) -> io::Result<LineEnds> {
    let mut block = Vec::new();
    let (mut high, mut count) = (high, 0);
    while high > low {
        let begin = high.saturating_sub(BLOCK).max(low);
        block.resize(usize::try_from(high - begin).map_err(io::Error::other)?, 0);
        file.read_exact_at(&mut block, begin)?;
        for (offset, _) in (block.iter().enumerate().rev()).filter(|(_, byte)| **byte == b'\n') {
            count += 1;
            if count == number {
                let place = Some(begin + offset as u64);
                return Ok(LineEnds { place, count });
            }
        }
        high = begin;
    }
    Ok(LineEnds { place: None, count })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn line_ends_are_found_across_blocks() {
        let mut file = tempfile::tempfile().unwrap();
        let line = "x".repeat(40_000);
        write!(file, "{line}\n{line}\n{line}").unwrap();
        let find = |number| line_ends_before(&file, 0, 120_002, number).unwrap().place;
        assert_eq!([1, 2, 3].map(find), [Some(80_001), Some(40_000), None]);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[b'\n'; 70_000]).unwrap();
        for number in [1, 65_536, 65_537, 70_000] {
            let found = line_ends_before(&file, 0, 70_000, number).unwrap();
            assert_eq!(found.place, Some(70_000 - number as u64), "{number}");
        }
    }

    proptest! {
        #[test]
        fn the_tail_is_that_of_the_lines(text in "[a\n]{0,30}", lines in 0_usize..8) {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let (begin, found) = tail(&file, 0, text.len() as u64, lines).unwrap();
            let all: Vec<&str> = text.split_inclusive('\n').collect();
            let kept = all.len().min(lines);
            prop_assert_eq!(found, kept);
            let begin = usize::try_from(begin).unwrap();
            prop_assert_eq!(&text[begin..], all[all.len() - kept..].concat());
        }
    }
}
