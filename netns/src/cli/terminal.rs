//! What is printed: standard output for answers, standard error for progress and errors, colour only on a terminal.

use std::io::{self, IsTerminal, Write};

/// The six colours that instances' names take in turn.
const COLOURS: [&str; 6] = ["36", "33", "32", "35", "34", "96"];

/// Columns of a terminal that says nothing else, and of every table.
pub(super) const WIDTH: usize = 80;

/// A name is not shortened to less.
const LEAST_NAME: usize = 8;

/// Characters shown of a log line that is quoted; whole ones are in `logs`.
pub(super) const QUOTED: usize = 240;

/// Whether colour is wanted on a stream: it is a terminal, and `NO_COLOR` (no-color.org) is unset.
fn wanted(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether what is printed goes to a terminal.
#[must_use]
pub(super) fn is_terminal() -> bool {
    io::stdout().is_terminal()
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
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        result => result,
    }
}

/// Writes a line to standard error; there is nowhere to report that it failed.
pub(super) fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Writes whole lines to standard error, or none; there is nowhere to report that it failed.
pub(super) fn remark(lines: &str) {
    let _ = io::stderr().lock().write_all(lines.as_bytes());
}

/// Writes what went wrong to standard error: on a terminal in lines of 80 columns, else in lines that `grep` finds whole.
pub(super) fn complain(message: &str) {
    let text = plain(message);
    if !io::stderr().is_terminal() {
        return say(&text);
    }
    let folded: Vec<String> = text.lines().map(|line| folded(line, WIDTH)).collect();
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
        let length = word.chars().count();
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

/// Lines up `rows` under `heads`, two spaces between columns; numbers (columns in `right`) to the right.
#[must_use]
pub(super) fn table(heads: &[&str], right: &[usize], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = (0..heads.len())
        .map(|column| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| visible(cell))
                .chain([heads[column].len()])
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    let heads: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
    for row in std::iter::once(&heads).chain(rows) {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let pad = " ".repeat(widths[column].saturating_sub(visible(cell)));
            if column > 0 {
                line.push_str("  ");
            }
            if right.contains(&column) {
                line.push_str(&pad);
                line.push_str(cell);
            } else {
                line.push_str(cell);
                line.push_str(&pad);
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// [`table`], in no more than [`WIDTH`] columns: the names in the first one are shortened as far as that takes.
#[must_use]
pub(super) fn fitting(heads: &[&str], right: &[usize], rows: &[Vec<String>]) -> String {
    let text = table(heads, right, rows);
    let surplus = text
        .lines()
        .map(visible)
        .max()
        .unwrap_or(0)
        .saturating_sub(WIDTH);
    if surplus == 0 {
        return text;
    }
    let name = |row: &Vec<String>| row.first().map_or(0, |name| name.chars().count());
    let longest = rows.iter().map(name).max().unwrap_or(0);
    let room = longest.saturating_sub(surplus).max(LEAST_NAME);
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let mut row = row.clone();
            if let Some(name) = row.first_mut() {
                *name = shortened(name, room);
            }
            row
        })
        .collect();
    table(heads, right, &rows)
}

/// At most `columns` characters of a name, without some of its middle: its end tells instances of a service apart.
fn shortened(name: &str, columns: usize) -> String {
    let length = name.chars().count();
    if length <= columns {
        return name.to_owned();
    }
    let kept = columns.saturating_sub(1);
    let tail = kept / 3;
    let head = name.chars().take(kept - tail);
    head.chain(['…'])
        .chain(name.chars().skip(length - tail))
        .collect()
}

/// Characters that take a column: colour codes do not.
fn visible(text: &str) -> usize {
    let mut count = 0;
    let mut in_code = false;
    for character in text.chars() {
        match character {
            '\x1b' => in_code = true,
            'm' if in_code => in_code = false,
            _ if !in_code => count += 1,
            _ => {}
        }
    }
    count
}

/// At most `columns` characters of a line; one that is cut ends in an ellipsis.
#[must_use]
pub(super) fn cut(line: &str, columns: usize) -> String {
    if line.chars().count() <= columns {
        return line.to_owned();
    }
    line.chars()
        .take(columns.saturating_sub(1))
        .chain(['…'])
        .collect()
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

/// Bytes for people, in MB (10^6).
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "a figure for people, with one decimal"
)]
pub(super) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_is_painted() {
        let rows = vec![
            vec![
                "a".to_owned(),
                "\x1b[31mbad\x1b[0m".to_owned(),
                "10".to_owned(),
            ],
            vec!["long".to_owned(), "ok".to_owned(), "9".to_owned()],
        ];
        assert_eq!(
            table(&["NAME", "STATE", "N"], &[2], &rows),
            "NAME  STATE   N\na     \x1b[31mbad\x1b[0m    10\nlong  ok      9\n"
        );
    }

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
    fn a_table_fits_by_its_names_and_instances_stay_apart() {
        let row = |name: &str, rest: usize| vec![name.to_owned(), "x".repeat(rest)];
        let long = "a-service-with-a-long-name";
        let rows = [
            row(&format!("{long}-1"), 60),
            row(&format!("{long}-12"), 60),
        ];
        let text = fitting(&["NAME", "REST"], &[], &rows);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.iter().all(|line| visible(line) <= WIDTH), "{text}");
        assert!(lines[1].starts_with("a-service-wi…ame-1  xx"), "{text}");
        assert!(lines[2].starts_with("a-service-wi…me-12  xx"), "{text}");
        let narrow = [row(long, 20)];
        assert_eq!(
            fitting(&["NAME", "REST"], &[], &narrow),
            table(&["NAME", "REST"], &[], &narrow)
        );
        assert_eq!(shortened("größer-als-alles-1", 8), "größe…-1");
    }

    #[test]
    fn long_lines_are_cut_at_characters() {
        assert_eq!(cut("größer", 6), "größer");
        assert_eq!(cut("größer", 4), "grö…");
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
