//! `${VARIABLES}`: the interpolation of the Compose Specification.
//!
//! `$V`, `${V}`, `${V:-default}` (unset or empty), `${V-default}` (unset), `${V:?message}`, `${V?message}`, `${V:+other}`, `${V+other}`,
//! nested inside each other, and `$$` for a dollar. As in Compose, a variable that is not set and has no default is empty, with a warning.

/// Deepest nesting of one substitution in another.
const DEEPEST: usize = 16;

/// What variables stand for.
pub(super) struct Variables<'a> {
    /// The value of a variable that is set.
    pub(super) lookup: &'a dyn Fn(&str) -> Option<String>,
    /// Hears of each use of one that is not set and has no default.
    pub(super) unset: &'a mut dyn FnMut(&str),
}

/// Replaces the variables in `text`. The error is a message and a remedy.
pub(super) fn interpolate(
    text: &str,
    variables: &mut Variables<'_>,
) -> Result<String, (String, String)> {
    nested(text, variables, 0)
}

fn nested(
    text: &str,
    variables: &mut Variables<'_>,
    depth: usize,
) -> Result<String, (String, String)> {
    if depth > DEEPEST {
        return Err((
            format!("substitutions are nested more than {DEEPEST} deep"),
            "give one of them a variable of its own".to_owned(),
        ));
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let end = closing(after).ok_or_else(|| {
                (
                    format!("`${{{after}` is never closed"),
                    "close it with `}`, or write `$$` for a dollar sign".to_owned(),
                )
            })?;
            out.push_str(&braced(&after[..end], variables, depth)?);
            rest = &after[end + 1..];
        } else {
            let end = name_length(rest);
            if end == 0 {
                return Err((
                    "a single `$` names no variable".to_owned(),
                    "write `$$` for a dollar sign".to_owned(),
                ));
            }
            out.push_str(&plain(&rest[..end], variables));
            rest = &rest[end..];
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// What is between the braces.
fn braced(
    inner: &str,
    variables: &mut Variables<'_>,
    depth: usize,
) -> Result<String, (String, String)> {
    let (name, operation) = inner.split_at(name_length(inner));
    if name.is_empty() {
        return Err((
            format!("`${{{inner}}}` names no variable"),
            "a name is letters, digits and `_`, not starting with a digit".to_owned(),
        ));
    }
    let value = (variables.lookup)(name);
    let (operation, value) = match operation.strip_prefix(':') {
        Some(operation) => (operation, value.filter(|value| !value.is_empty())),
        None => (operation, value),
    };
    let mut chars = operation.chars();
    match (chars.next(), chars.as_str()) {
        (None, _) if !inner.contains(':') => Ok(plain(name, variables)),
        (Some('-'), default) => value.map_or_else(|| nested(default, variables, depth + 1), Ok),
        (Some('+'), other) => value.map_or_else(|| Ok(String::new()), |_| nested(other, variables, depth + 1)),
        (Some('?'), message) => match value {
            Some(value) => Ok(value),
            None => Err((
                match nested(message, variables, depth + 1)? {
                    message if message.is_empty() => format!("`{name}` must be set"),
                    message => format!("`{name}` must be set: {message}"),
                },
                format!("set it in the environment or in `.env`: {name}=..."),
            )),
        },
        _ => Err((
            format!("`${{{inner}}}` is no substitution"),
            "the forms are ${V}, ${V:-default}, ${V-default}, ${V:?message}, ${V?message}, ${V:+other} and ${V+other}".to_owned(),
        )),
    }
}

/// A variable without any operation.
fn plain(name: &str, variables: &mut Variables<'_>) -> String {
    (variables.lookup)(name).unwrap_or_else(|| {
        (variables.unset)(name);
        String::new()
    })
}

fn name_length(text: &str) -> usize {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return 0;
    }
    text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(text.len())
}

/// Where the brace that was opened before `text` closes.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut previous = ' ';
    for (index, c) in text.char_indices() {
        match c {
            '{' if previous == '$' => depth += 1,
            '}' if depth == 0 => return Some(index),
            '}' => depth -= 1,
            _ => {}
        }
        previous = c;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(text: &str) -> Result<String, String> {
        let lookup = |name: &str| match name {
            "SET" => Some("value".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let mut variables = Variables {
            lookup: &lookup,
            unset: &mut |_| {},
        };
        interpolate(text, &mut variables).map_err(|(message, _)| message)
    }

    #[test]
    fn every_form() {
        for (text, expected) in [
            ("plain", "plain"),
            ("$SET-x", "value-x"),
            ("a${SET}b", "avalueb"),
            ("${EMPTY}", ""),
            ("${EMPTY:-d}", "d"),
            ("${EMPTY-d}", ""),
            ("${NONE:-d}", "d"),
            ("${NONE-d}", "d"),
            ("${NONE:-}", ""),
            ("<$NONE${NONE}>", "<>"),
            ("${SET:+x}${NONE:+y}${EMPTY+z}${EMPTY:+w}", "xz"),
            ("${NONE:-${SET}/${NONE:-deep}}", "value/deep"),
            ("${SET:?message}", "value"),
            ("cost $$5 $${SET}", "cost $5 ${SET}"),
        ] {
            assert_eq!(run(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn every_refusal() {
        for (text, message) in [
            ("${NONE:?port wanted}", "`NONE` must be set: port wanted"),
            ("${EMPTY:?}", "`EMPTY` must be set"),
            ("${SET", "`${SET` is never closed"),
            ("${}", "`${}` names no variable"),
            ("100$", "a single `$` names no variable"),
            ("${SET/x}", "`${SET/x}` is no substitution"),
            ("${SET:}", "`${SET:}` is no substitution"),
        ] {
            assert_eq!(run(text), Err(message.to_owned()), "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_soon() {
        let deep = "${NONE:-".repeat(100_000) + &"}".repeat(100_000);
        assert_eq!(
            run(&deep),
            Err("substitutions are nested more than 16 deep".to_owned())
        );
    }

    proptest! {
        #[test]
        fn escaping_dollars_makes_any_text_literal(text in ".*") {
            prop_assert_eq!(run(&text.replace('$', "$$")), Ok(text));
        }

        #[test]
        fn never_panics(text in "[${}:?+A-Z-]*") {
            let _ = run(&text);
        }
    }
}
