//! When what stands in a log was written: records of the pieces that were taken in, one beside the other. Pure.
//!
//! A record stands before its piece does, so that whoever sees the piece finds its time. One whose piece was never written, on a
//! full disk, is followed by another of the same place.

/// Bytes of a record.
pub(super) const RECORD: usize = 16;

/// A piece of a log that was taken in at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    /// Where it begins, in bytes from the beginning of the log.
    pub(super) begin: u32,
    /// Where it ends.
    pub(super) end: u32,
    /// Nanoseconds since 1970-01-01 00:00 UTC.
    pub(super) nanos: u64,
}

impl Record {
    /// As it stands in a file, in little-endian order.
    pub(super) fn to_bytes(self) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        bytes[..4].copy_from_slice(&self.begin.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.end.to_le_bytes());
        bytes[8..].copy_from_slice(&self.nanos.to_le_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: [u8; RECORD]) -> Self {
        let number = u128::from_le_bytes(bytes);
        let half = |shift: u32| (number >> shift) as u32;
        Self {
            begin: half(0),
            end: half(32),
            nanos: (number >> 64) as u64,
        }
    }
}

/// The records of a log. Neither places nor times go back from one to the next, whatever the file or the machine's clock did.
#[derive(Debug, Default)]
pub(super) struct Times(Vec<Record>);

impl Times {
    /// Takes in whole records, and tells how many bytes these were: one that is torn is left.
    pub(super) fn extend(&mut self, bytes: &[u8]) -> usize {
        let (whole, torn) = bytes.as_chunks::<RECORD>();
        for bytes in whole {
            let mut record = Record::from_bytes(*bytes);
            if let Some(last) = self.0.last() {
                record.nanos = record.nanos.max(last.nanos);
                if record.begin < last.begin {
                    continue;
                }
            }
            self.0.push(record);
        }
        bytes.len() - torn.len()
    }

    /// When the byte at this place was taken in; `None`: nobody noted it.
    pub(super) fn of(&self, place: u64) -> Option<u64> {
        let after = (self.0).partition_point(|record| u64::from(record.begin) <= place);
        let record = self.0[..after].last()?;
        (place < u64::from(record.end)).then_some(record.nanos)
    }

    /// Where what was taken in at that time or later begins. What lies between two records, of which nobody knows, is later.
    pub(super) fn begin(&self, since: u64) -> u64 {
        let earlier = self.0.partition_point(|record| record.nanos < since);
        match (self.0[..earlier].last(), self.0.get(earlier)) {
            (None, _) => 0,
            (Some(last), None) => last.end.into(),
            (Some(last), Some(next)) => last.end.min(next.begin).into(),
        }
    }

    /// Where what was taken in after that time begins; `None`: nothing was.
    pub(super) fn end(&self, until: u64) -> Option<u64> {
        let up_to = self.0.partition_point(|record| record.nanos <= until);
        self.0.get(up_to).map(|record| record.begin.into())
    }

    /// Forgets what was before that place.
    pub(super) fn forget_before(&mut self, place: u64) {
        let over = |record: &Record| u64::from(record.end) <= place;
        let over = self.0.iter().take_while(|record| over(record)).count();
        // The last one still bounds what comes.
        self.0.drain(..over.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn times(records: &[(u32, u32, u64)]) -> Times {
        let mut times = Times::default();
        for &(begin, end, nanos) in records {
            times.extend(&Record { begin, end, nanos }.to_bytes());
        }
        times
    }

    #[test]
    fn a_place_has_the_time_of_its_piece_and_a_gap_none() {
        let times = times(&[(0, 4, 10), (4, 8, 20), (12, 14, 30)]);
        let of: Vec<Option<u64>> = [0, 3, 4, 7, 8, 11, 12, 14]
            .map(|place| times.of(place))
            .to_vec();
        let (a, b, c) = (Some(10), Some(20), Some(30));
        assert_eq!(of, [a, a, b, b, None, None, c, None]);
        assert_eq!(
            [5, 10, 11, 20, 21, 31].map(|t| times.begin(t)),
            [0, 0, 4, 4, 8, 14]
        );
        assert_eq!(
            [5, 10, 19, 20, 30].map(|until| times.end(until)),
            [Some(0), Some(4), Some(4), Some(12), None]
        );
    }

    #[test]
    fn a_piece_that_was_never_written_gives_way_to_the_next_of_its_place() {
        let times = times(&[(0, 4, 10), (4, 9, 20), (4, 6, 30)]);
        assert_eq!(
            [times.of(3), times.of(5), times.of(6)],
            [Some(10), Some(30), None]
        );
        assert_eq!(times.begin(15), 4);
    }

    #[test]
    fn a_clock_that_is_set_back_and_a_torn_record_do_no_harm() {
        let mut times = times(&[(0, 4, 100), (4, 8, 50), (8, 9, 200)]);
        assert_eq!([times.of(5), times.of(8)], [Some(100), Some(200)]);
        let bytes = [Record {
            begin: 9,
            end: 10,
            nanos: 300,
        }
        .to_bytes(); 2]
            .concat();
        assert_eq!(times.extend(&bytes[..20]), RECORD);
        assert_eq!((times.0.len(), times.of(9)), (4, Some(300)));
        times.forget_before(8);
        assert_eq!([times.of(1), times.of(8)], [None, Some(200)]);
    }

    proptest! {
        /// Searching finds what looking at one byte after the other does, whatever the pieces, the gaps and the clock.
        #[test]
        fn what_is_found_is_what_was_noted(
            pieces in proptest::collection::vec((0_u32..3, 1_u32..5, 0_u64..40), 0..30),
            asked in 0_u64..50,
        ) {
            let mut bytes = Vec::new();
            let mut noted: Vec<Option<u64>> = Vec::new();
            let mut latest = 0;
            for (gap, length, nanos) in pieces {
                noted.extend((0..gap).map(|_| None));
                let begin = u32::try_from(noted.len()).unwrap();
                let end = begin + length;
                bytes.extend(Record { begin, end, nanos }.to_bytes());
                latest = latest.max(nanos);
                noted.extend((0..length).map(|_| Some(latest)));
            }
            let mut times = Times::default();
            prop_assert_eq!(times.extend(&bytes), bytes.len());
            for (place, nanos) in noted.iter().enumerate() {
                prop_assert_eq!(times.of(place as u64), *nanos);
            }
            // Everything before it is earlier, or unknown; the first byte of it that is known is not.
            let begin = usize::try_from(times.begin(asked)).unwrap();
            prop_assert!(noted[..begin].iter().flatten().all(|nanos| *nanos < asked));
            prop_assert!(noted[begin..].iter().flatten().all(|nanos| *nanos >= asked));
            let end = times.end(asked).map_or(noted.len(), |end| usize::try_from(end).unwrap());
            prop_assert!(noted[..end].iter().flatten().all(|nanos| *nanos <= asked));
            prop_assert!(noted[end..].iter().flatten().all(|nanos| *nanos > asked));
        }
    }
}
