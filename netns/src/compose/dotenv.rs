//! `.env` and `env_file`: `KEY=value` lines as Compose reads them.

use std::collections::BTreeMap;

use super::interpolate::{Variables, interpolate};

/// Parses `text`; `lookup` gives the variables for values without single quotes, after those defined further up; `unset`
/// hears line and name of a variable that is not set. The error is line, message and remedy.
pub(super) fn parse(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    unset: &mut dyn FnMut(u32, &str),
) -> Result<BTreeMap<String, String>, (u32, String, String)> {
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    for (line, number) in text.trim_start_matches('\u{feff}').lines().zip(1_u32..) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let assignment = line.strip_prefix("export ").map_or(line, str::trim_start);
        let (key, raw) = match assignment.split_once('=') {
            Some((key, raw)) => (key.trim_end(), Some(raw.trim_start())),
            None => (assignment, None),
        };
        if key.is_empty() || key.contains(char::is_whitespace) {
            return Err((
                number,
                format!("`{line}` is no assignment"),
                "write KEY=value".to_owned(),
            ));
        }
        let known = |name: &str| lookup(name).or_else(|| variables.get(name).cloned());
        let value = match raw {
            // A bare key passes the caller's variable on.
            None => lookup(key),
            Some(raw) => {
                let mut known = Variables {
                    lookup: &known,
                    unset: &mut |name| unset(number, name),
                };
                let value = value(raw, &mut known);
                Some(value.map_err(|(message, remedy)| (number, message, remedy))?)
            }
        };
        if let Some(value) = value {
            variables.insert(key.to_owned(), value);
        }
    }
    Ok(variables)
}

fn value(raw: &str, lookup: &mut Variables<'_>) -> Result<String, (String, String)> {
    let unclosed = || {
        (
            "the quote is never closed on its line".to_owned(),
            "close it; values of several lines are not supported".to_owned(),
        )
    };
    if let Some(inner) = raw.strip_prefix('\'') {
        let end = inner.find('\'').ok_or_else(unclosed)?;
        return Ok(inner[..end].to_owned());
    }
    if let Some(inner) = raw.strip_prefix('"') {
        let mut text = String::new();
        let mut chars = inner.chars();
        loop {
            match chars.next().ok_or_else(unclosed)? {
                '"' => return interpolate(&text, lookup),
                '\\' => match chars.next().ok_or_else(unclosed)? {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    '$' => text.push_str("$$"),
                    c @ ('"' | '\\') => text.push(c),
                    c => text.extend(['\\', c]),
                },
                c => text.push(c),
            }
        }
    }
    // A comment starts at a `#` behind white space.
    let end = raw
        .find(" #")
        .or_else(|| raw.find("\t#"))
        .unwrap_or(raw.len());
    interpolate(raw[..end].trim_end(), lookup)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_compose_reads() {
        let text = "# a comment\nA=1\nexport B = two words # why\nC='$A #'\nD=\"$A\\n\\$A\"\nE=${A}/${HOST}\nHOST\nMISSING\n\nF=\n";
        let lookup = |name: &str| (name == "HOST").then(|| "h".to_owned());
        let read = parse(text, &lookup, &mut |_, _| {}).unwrap();
        let read: Vec<_> = read
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        assert_eq!(
            read,
            [
                "A=1",
                "B=two words",
                "C=$A #",
                "D=1\n$A",
                "E=1/h",
                "F=",
                "HOST=h"
            ]
        );
    }

    #[test]
    fn refusals_have_their_line() {
        let line = |text: &str| parse(text, &|_| None, &mut |_, _| {}).unwrap_err().0;
        assert_eq!(line("A=1\nnot an assignment\n"), 2);
        assert_eq!(line("\n\nA='x\n"), 3);
        assert_eq!(line("A=${NOPE?}"), 1);
        let mut unset = Vec::new();
        let read = parse("A=1\nB=<$NOPE>", &|_| None, &mut |line, name| {
            unset.push(format!("{line} {name}"));
        });
        assert_eq!(
            (read.unwrap()["B"].as_str(), unset),
            ("<>", vec!["2 NOPE".to_owned()])
        );
    }
}
