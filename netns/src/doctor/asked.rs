//! Programs asked for their word, all at once, each for a moment: a server that hangs must not make a report hang.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::machine::program;
use crate::lab::clock::Clock;

/// What a program answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// There is no such program.
    Absent,
    /// It did not end in time.
    Silent,
    /// It ended.
    Said {
        /// Whether with exit code 0.
        well: bool,
        /// Its standard output.
        out: String,
        /// Its standard error.
        err: String,
    },
}

impl Answer {
    /// The first line of what it said, when it ended well.
    #[must_use]
    pub fn line(&self) -> Option<&str> {
        match self {
            Self::Said {
                well: true, out, ..
            } => out.lines().next(),
            _ => None,
        }
    }
}

/// A program that was asked.
pub(super) struct Asked(Option<Child>);

/// Starts a program. What it prints has to fit into a pipe (64 KiB), since it is read when it has ended.
pub(super) fn ask(name: &str, arguments: &[&str]) -> Asked {
    let child = program(name).and_then(|path| {
        Command::new(path)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .ok()
    });
    Asked(child)
}

impl Asked {
    /// Its answer, given before `deadline` by `clock`.
    pub(super) fn answer(self, clock: Clock, deadline: Duration) -> Answer {
        let Some(mut child) = self.0 else {
            return Answer::Absent;
        };
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if clock.now() < deadline => std::thread::sleep(Duration::from_millis(2)),
                _ => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Answer::Silent;
                }
            }
        };
        let text = |pipe: Option<&mut dyn Read>| {
            let mut bytes = Vec::new();
            if let Some(pipe) = pipe {
                let _ = pipe.read_to_end(&mut bytes); // what came is what there is
            }
            String::from_utf8_lossy(&bytes).trim().to_owned()
        };
        Answer::Said {
            well: status.success(),
            out: text(child.stdout.as_mut().map(|pipe| pipe as _)),
            err: text(child.stderr.as_mut().map(|pipe| pipe as _)),
        }
    }
}

/// The first version number in a text: `Redis server v=7.0.15 sha=0` has 7.0.
pub(super) fn version(text: &str) -> Option<(u32, u32)> {
    text.split(|c: char| !c.is_ascii_digit() && c != '.')
        .find_map(|word| {
            let mut parts = word.split('.');
            Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        for (text, expected) in [
            ("nftables v1.0.6 (Lester Gooch #5)", Some((1, 0))),
            (
                "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64",
                Some((7, 0)),
            ),
            ("Valkey server v=8.1.3 sha=0", Some((8, 1))),
            (
                "github.com/docker/buildx v0.13.1 0.13.1+ds1-3",
                Some((0, 13)),
            ),
            ("Docker Compose version 2.26.1-4", Some((2, 26))),
            ("6.18.44-fc-v669", Some((6, 18))),
            ("no number", None),
        ] {
            assert_eq!(version(text), expected, "{text}");
        }
    }

    #[test]
    fn who_does_not_answer_is_not_waited_for() {
        let clock = Clock::start();
        let (slow, quick, none) = (
            ask("sleep", &["20"]),
            ask("echo", &["word"]),
            ask("no-such-program", &[]),
        );
        assert_eq!(none.answer(clock, Duration::from_secs(9)), Answer::Absent);
        assert_eq!(
            quick.answer(clock, Duration::from_secs(9)).line(),
            Some("word")
        );
        assert_eq!(slow.answer(clock, Duration::ZERO), Answer::Silent);
    }
}
