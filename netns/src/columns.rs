//! Text in columns, for people: tables, and names and lines cut to the width there is.

/// Columns of a terminal that says nothing else, and of every table.
pub(crate) const WIDTH: usize = 80;

/// A name is not shortened to less.
const LEAST_NAME: usize = 8;

/// Lines up `rows` under `heads`, two spaces between columns; numbers (columns in `right`) to the right.
#[must_use]
pub(crate) fn table(heads: &[&str], right: &[usize], rows: &[Vec<String>]) -> String {
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
pub(crate) fn fitting(heads: &[&str], right: &[usize], rows: &[Vec<String>]) -> String {
    within(WIDTH, heads, right, rows)
}

/// [`fitting`] of another width.
#[must_use]
pub(crate) fn within(
    columns: usize,
    heads: &[&str],
    right: &[usize],
    rows: &[Vec<String>],
) -> String {
    let text = table(heads, right, rows);
    let surplus = width(&text).saturating_sub(columns);
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

/// Columns that a text takes.
#[must_use]
pub(crate) fn width(text: &str) -> usize {
    text.lines().map(visible).max().unwrap_or(0)
}

/// At most `columns` characters of a name, without some of its middle: its end tells instances of a service apart.
#[must_use]
pub(crate) fn shortened(name: &str, columns: usize) -> String {
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
pub(crate) fn visible(text: &str) -> usize {
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
pub(crate) fn cut(line: &str, columns: usize) -> String {
    if line.chars().count() <= columns {
        return line.to_owned();
    }
    line.chars()
        .take(columns.saturating_sub(1))
        .chain(['…'])
        .collect()
}

/// `items` after `head`, in as many lines of 80 columns as it takes.
#[must_use]
pub(crate) fn wrapped(head: &str, items: &[String]) -> String {
    let indent = " ".repeat(visible(head));
    let mut text = String::new();
    let mut line = head.to_owned();
    for (number, item) in items.iter().enumerate() {
        let comma = if number + 1 < items.len() { ", " } else { "" };
        if visible(&line) + visible(item) + comma.len() > WIDTH && visible(&line) > indent.len() {
            text.push_str(line.trim_end());
            text.push('\n');
            line.clone_from(&indent);
        }
        line.push_str(item);
        line.push_str(comma);
    }
    text.push_str(line.trim_end());
    text.push('\n');
    text
}

/// What could have been meant: a line of help, or several, behind an error; nothing where there is nothing.
#[must_use]
pub(crate) fn choice<N: ToString>(head: &str, names: impl IntoIterator<Item = N>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    if names.is_empty() {
        return String::new();
    }
    let text = paragraph(" = help: ", &format!("{head}: {}", names.join(", ")));
    format!("\n{}", text.trim_end())
}

/// The words of `text` after `head`, in as many lines of 80 columns as it takes.
#[must_use]
pub(crate) fn paragraph(head: &str, text: &str) -> String {
    let indent = " ".repeat(visible(head));
    let mut lines = vec![head.to_owned()];
    for word in text.split_whitespace() {
        if let Some(line) = lines.last_mut() {
            let is_empty = visible(line) == visible(head);
            if is_empty || visible(line) + 1 + visible(word) <= WIDTH {
                line.push_str(if is_empty { "" } else { " " });
                line.push_str(word);
                continue;
            }
        }
        lines.push(format!("{indent}{word}"));
    }
    lines.join("\n") + "\n"
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
    fn what_could_have_been_meant_is_told_within_80_columns() {
        let names = (1..=40).map(|number| format!("product-service-{number}"));
        let text = format!("error: no bench{}", choice("there are", names));
        assert!(text.lines().count() > 8 && width(&text) <= WIDTH, "{text}");
        let help = text.lines().nth(1).unwrap_or_default();
        assert!(
            help.starts_with(" = help: there are: product-service-1, "),
            "{text}"
        );
        assert!(text.ends_with(" product-service-40"), "{text}");
    }

    #[test]
    fn long_lines_are_cut_at_characters() {
        assert_eq!(cut("größer", 6), "größer");
        assert_eq!(cut("größer", 4), "grö…");
    }
}
