//! What is printed: standard output for answers, standard error for progress and errors, colour only on a terminal.

use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};

use super::reader;
use crate::columns::{WIDTH, visible};
use crate::kernel::sys;

/// The six colours that instances' names take in turn.
const COLOURS: [&str; 6] = ["36", "33", "32", "35", "34", "96"];

/// Characters shown of a log line that is quoted; whole ones are in `logs`.
pub(super) const QUOTED: usize = 240;

/// Whether colour is wanted on a stream: it is a terminal, and `NO_COLOR` (no-color.org) is unset.
fn wanted(terminal: bool) -> bool {
    terminal && !is_dumb() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether the terminal says that it understands no escape sequences.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|name| name == "dumb")
}

/// Whether what is printed goes to a terminal that can be cleared.
#[must_use]
pub(super) fn can_be_cleared() -> bool {
    is_terminal() && !is_dumb()
}

/// Whether what is printed goes to a terminal.
#[must_use]
pub(super) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Columns that what is printed may take: the terminal's, and as many as a VT100's at least; without a terminal there is no end of them.
#[must_use]
pub(super) fn columns() -> usize {
    if !is_terminal() {
        return usize::MAX;
    }
    let window = sys::window(io::stdout().as_fd());
    window.map_or(WIDTH, |(_, columns)| usize::from(columns).max(WIDTH))
}

/// Columns of a terminal, as they are; `None`: it is none, or does not say.
fn window(stream: BorrowedFd<'_>) -> Option<usize> {
    let (_, columns) = sys::window(stream)?;
    Some(usize::from(columns)).filter(|columns| *columns > 0)
}

/// Columns of the terminal that is printed to, however many; without a terminal there is no end of them.
#[must_use]
pub(super) fn exact_columns() -> usize {
    match is_terminal() {
        true => window(io::stdout().as_fd()).unwrap_or(WIDTH),
        false => usize::MAX,
    }
}

/// How text is painted for one stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint(bool);

impl Paint {
    /// Never any colour.
    #[must_use]
    pub(super) fn none() -> Self {
        Self(false)
    }

    /// For standard output.
    #[must_use]
    pub(super) fn stdout() -> Self {
        Self(wanted(io::stdout().is_terminal()))
    }

    /// For standard error.
    #[must_use]
    pub(super) fn stderr() -> Self {
        Self(wanted(io::stderr().is_terminal()))
    }

    /// `text` in the SGR attribute `code`.
    #[must_use]
    pub(super) fn with(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// `text` in the colour of the instance with this number.
    #[must_use]
    pub(super) fn instance(self, number: usize, text: &str) -> String {
        self.with(COLOURS[number % COLOURS.len()], text)
    }

    /// Something good.
    #[must_use]
    pub(super) fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    /// Something bad.
    #[must_use]
    pub(super) fn bad(self, text: &str) -> String {
        self.with("31", text)
    }
}

/// Writes to standard output. A reader that went away (`| head`) ends the program quietly, as for every other tool.
///
/// # Errors
/// When standard output cannot be written for another reason.
pub(super) fn out(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => reader::leave(),
        result => result.map_err(|error| unprinted(&error)),
    }
}

/// What an answer that could not be printed is said to have failed at.
pub(super) fn unprinted(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("standard output: {error}"))
}

/// Writes a line to standard error; there is nowhere to report that it failed.
pub(super) fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Writes whole lines to standard error, or none; there is nowhere to report that it failed.
pub(super) fn remark(lines: &str) {
    let columns = window(io::stderr().as_fd()).unwrap_or(WIDTH);
    let text: String = match columns < WIDTH {
        true => lines
            .lines()
            .map(|line| folded(line, columns) + "\n")
            .collect(),
        false => lines.to_owned(),
    };
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Writes what went wrong to standard error: on a terminal in lines of 80 columns, or what it has, else in lines that `grep` finds whole.
pub(super) fn complain(message: &str) {
    let text = plain(message);
    if !io::stderr().is_terminal() {
        return say(&text);
    }
    let columns = window(io::stderr().as_fd()).map_or(WIDTH, |columns| columns.min(WIDTH));
    let folded: Vec<String> = text.lines().map(|line| folded(line, columns)).collect();
    say(&folded.join("\n"));
}

/// Without the kernel's numbers of errors, which the words before them say already.
fn plain(message: &str) -> String {
    let mut parts = message.split(" (os error ");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.push_str(rest);
            }
            _ => {
                text.push_str(" (os error ");
                text.push_str(part);
            }
        }
    }
    text
}

/// A line in as many as it takes, broken between words; what follows the first is indented.
fn folded(line: &str, columns: usize) -> String {
    let mut text = String::new();
    let mut width = 0;
    for (number, word) in line.split(' ').enumerate() {
        let length = visible(word);
        if number > 0 && width + 1 + length > columns {
            text.push_str("\n   ");
            width = 3;
        }
        if number > 0 {
            text.push(' ');
            width += 1;
        }
        text.push_str(word);
        width += length;
    }
    text
}

/// A duration for people: `340ms`, `12s`, `5m12s`, `3h05m`, `2d04h`.
#[must_use]
pub(super) fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms}ms"),
        1..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A number and what is counted.
#[must_use]
pub(super) fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_plain_and_folded_between_words() {
        assert_eq!(
            plain("error: /a: No such file or directory (os error 2)\n = help: make it"),
            "error: /a: No such file or directory\n = help: make it"
        );
        assert_eq!(plain("odd (os error x) stays"), "odd (os error x) stays");
        assert_eq!(
            folded("error: one two three", 14),
            "error: one two\n    three"
        );
        assert_eq!(folded("  kept as it is", 80), "  kept as it is");
    }

    #[test]
    fn durations_read_well() {
        let shown: Vec<String> = [340, 12_000, 312_000, 11_100_000, 187_200_000]
            .into_iter()
            .map(duration)
            .collect();
        assert_eq!(shown, ["340ms", "12s", "5m12s", "3h05m", "2d04h"]);
    }
}
