//! How logs are followed, with times and without.

use std::fs;
use std::io::Write;
use std::path::Path;

use proptest::prelude::*;

use super::*;

fn follow(path: &Path, window: Window) -> Follower {
    Follower::new(path, window).unwrap()
}

fn lines(follower: &mut Follower) -> Vec<Line> {
    follower.look().unwrap();
    std::iter::from_fn(|| follower.next_line().unwrap()).collect()
}

fn read(follower: &mut Follower) -> Vec<String> {
    lines(follower).into_iter().map(|line| line.text).collect()
}

/// What is read of a log at once, the last words included.
fn all(path: &Path, window: Window) -> Vec<(String, Option<u64>)> {
    let mut follower = follow(path, window);
    let mut all = lines(&mut follower);
    all.extend(follower.rest());
    all.into_iter()
        .map(|line| (line.text, line.nanos))
        .collect()
}

fn texts(path: &Path, window: Window) -> Vec<String> {
    all(path, window)
        .into_iter()
        .map(|(text, _)| text)
        .collect()
}

#[test]
fn a_follower_sees_whole_lines_and_misses_none_when_files_are_turned_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    fs::write(turned(&path, 1), "before\n").unwrap();
    let mut follower = follow(&path, Window::default());
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

#[test]
fn a_line_has_the_time_at_which_it_was_complete() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let mut sink = Sink::new(&path, open(&path).unwrap(), 1000);
    let timed = Window {
        timed: true,
        ..Window::default()
    };
    let mut follower = follow(&path, timed);
    sink.write(b"one\ntw", 10);
    let line = |text: &str, nanos| Line {
        text: text.to_owned(),
        nanos: Some(nanos),
    };
    assert_eq!(lines(&mut follower), [line("one", 10)]);
    sink.write(b"o\nthree\nfo", 20);
    assert_eq!(lines(&mut follower), [line("two", 20), line("three", 20)]);
    assert_eq!(follower.rest(), Some(line("fo", 20)));
    // The clock was set back.
    sink.write(b"ur\n5\n", 5);
    turn_over(&path, 0).unwrap();
    sink.resume(open(&path).unwrap());
    sink.write(b"6\n", 6);
    assert_eq!(
        lines(&mut follower),
        [line("ur", 20), line("5", 20), line("6", 6)]
    );
    assert_eq!(
        fs::read(turned(&path, 1)).unwrap(),
        b"one\ntwo\nthree\nfour\n5\n"
    );
}

#[test]
fn what_is_wanted_of_a_time_is_found_in_all_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let mut sink = Sink::new(&path, open(&path).unwrap(), 9);
    for number in 1..=7_u64 {
        sink.write(format!("l {number}\n").as_bytes(), number * 10);
    }
    let window = |lines, since, until| Window {
        lines,
        since,
        until,
        timed: false,
    };
    assert_eq!(texts(&path, window(None, None, None)), ["l 7"], "as ever");
    for (wanted, found) in [
        (
            window(None, Some(0), None),
            &["l 3", "l 4", "l 5", "l 6", "l 7"][..],
        ),
        (window(None, Some(40), None), &["l 4", "l 5", "l 6", "l 7"]),
        (window(None, Some(41), Some(60)), &["l 5", "l 6"]),
        (window(None, Some(71), None), &[]),
        (window(None, None, Some(69)), &[]),
        (window(Some(2), Some(20), None), &["l 6", "l 7"]),
        (window(Some(2), Some(20), Some(50)), &["l 4", "l 5"]),
        (window(Some(9), Some(60), None), &["l 6", "l 7"]),
        (window(Some(0), Some(20), None), &[]),
    ] {
        assert_eq!(texts(&path, wanted), found, "{wanted:?}");
    }
    // It goes on from there.
    let mut follower = follow(&path, window(Some(1), Some(20), Some(85)));
    assert_eq!(read(&mut follower), ["l 7"]);
    sink.write(b"l 8\n", 80);
    sink.write(b"l 9\n", 90);
    assert_eq!(read(&mut follower), ["l 8"]);
}

#[test]
fn a_log_without_times_is_read_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    fs::write(&path, "old\n").unwrap();
    let mut sink = Sink::new(&path, open(&path).unwrap(), 1000);
    let timed = Window {
        timed: true,
        ..Window::default()
    };
    assert_eq!(all(&path, timed), [("old".to_owned(), None)]);
    sink.write(b"new\n", 20);
    let since = Window {
        since: Some(15),
        ..timed
    };
    assert_eq!(
        all(&path, since),
        [("old".to_owned(), None), ("new".to_owned(), Some(20))]
    );
    // Nothing of what was written to last before that time is of that time.
    let later = Window {
        since: Some(u64::MAX),
        ..timed
    };
    fs::remove_file(sidecar::beside(&path)).unwrap();
    assert!(all(&path, later).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Of whatever is written in whatever pieces, each line that is kept has the time of the piece with its end, and those since a
    /// time are those whose time is not before it.
    #[test]
    fn lines_have_the_times_of_their_ends(
        pieces in proptest::collection::vec(("[ab\n]{1,12}", 0_u64..3), 1..20),
        limit in 12_u64..60,
        since in 1_u64..30,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut sink = Sink::new(&path, open(&path).unwrap(), limit);
        let (mut now, mut text, mut ends) = (1, String::new(), Vec::new());
        for (piece, later) in &pieces {
            now += later;
            sink.write(piece.as_bytes(), now);
            text.push_str(piece);
            ends.resize(text.len(), now);
        }
        let mut place = 0;
        let mut expected = Vec::new();
        for line in text.split_inclusive('\n') {
            place += line.len();
            expected.push((line.trim_end_matches('\n').to_owned(), Some(ends[place - 1])));
        }
        expected.retain(|(_, nanos)| *nanos >= Some(since));
        let window = Window { since: Some(since), timed: true, ..Window::default() };
        let found = all(&path, window);
        // Whatever has gone with the oldest file is its beginning, as may be the first line's.
        prop_assert!(found.len() <= expected.len());
        let kept = &expected[expected.len() - found.len()..];
        prop_assert_eq!(found.get(1..), kept.get(1..));
        if let (Some(first), Some(whole)) = (found.first(), kept.first()) {
            prop_assert!(whole.0.ends_with(&first.0) && whole.1 == first.1);
        }
        if text.len() as u64 <= limit {
            prop_assert_eq!(found, expected);
        }
    }
}
