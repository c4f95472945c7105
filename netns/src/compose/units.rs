//! The spec's small notations: durations, byte sizes, words of a command line.

use std::time::Duration;

/// Longest duration that is taken: what is longer is a slip, and clocks cannot count to it.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

/// `1h5m30s20ms`, units in falling order not required, as the Compose Specification writes durations; a bare number is refused
/// there too, except 0.
pub(super) fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        total = total.checked_add(Duration::try_from_secs_f64(number * unit).ok()?)?;
        rest = &rest[end..];
    }
    (total <= LONGEST).then_some(total)
}

/// A number of bytes as a Compose file writes it: in the largest unit that leaves no remainder.
#[must_use]
pub fn byte_size(bytes: u64) -> String {
    let unit = [(30, "G"), (20, "M"), (10, "K")]
        .into_iter()
        .find(|(shift, _)| bytes > 0 && bytes.is_multiple_of(1 << shift));
    match unit {
        Some((shift, letter)) => format!("{}{letter}", bytes >> shift),
        None => format!("{bytes} bytes"),
    }
}

/// `512`, `64k`, `128M`, `1gb`: powers of 1024 whatever the spelling, like Compose.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(lower.len());
    let factor: u64 = match lower[digits..].trim() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return None,
    };
    match lower[..digits].split_once('.') {
        None => lower[..digits].parse::<u64>().ok()?.checked_mul(factor),
        Some((whole, fraction)) => {
            // Parts of a byte are dropped, and digits behind the ninth with them.
            let digits = fraction.get(..9).unwrap_or(fraction);
            let scale = 10_u64.pow(u32::try_from(digits.len()).ok()?);
            let part =
                u128::from(digits.parse::<u64>().ok()?) * u128::from(factor) / u128::from(scale);
            whole
                .parse::<u64>()
                .ok()?
                .checked_mul(factor)?
                .checked_add(u64::try_from(part).ok()?)
        }
    }
}

/// Splits a command line into words as a POSIX shell does for quotes and backslashes, without any expansion. None when a quote
/// is not closed.
pub(super) fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => match chars.next()? {
                            c @ ('"' | '\\' | '$' | '`') => word.push(c),
                            '\n' => {}
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => match chars.next()? {
                '\n' => {}
                c => word.get_or_insert_default().push(c),
            },
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_written_as_it_is_read() {
        for text in ["32M", "1G", "1536M", "4K", "1000 bytes", "0 bytes"] {
            let read = bytes(text.trim_end_matches(" bytes")).unwrap();
            assert_eq!(byte_size(read), text);
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(duration("2h"), Some(Duration::from_secs(7200)));
        assert_eq!(duration("1.5s20ms"), Some(Duration::from_millis(1520)));
        assert_eq!(duration("250us"), Some(Duration::from_micros(250)));
        assert_eq!(duration("0"), Some(Duration::ZERO));
        for bad in ["", "5", "s", "-1s", "1w", "1 s", "1.2.3s", "99999999999h"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(bytes("128M"), Some(128 << 20));
        assert_eq!(bytes("1gb"), Some(1 << 30));
        assert_eq!(bytes("1.5k"), Some(1536));
        assert_eq!(bytes("300"), Some(300));
        for bad in ["", "M", "-1M", "12x", "99999999999999999999"] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
    }

    #[test]
    fn command_lines() {
        let split = |text| words(text).map(|words| words.join("|"));
        assert_eq!(
            split("redis-server  --save ''").as_deref(),
            Some("redis-server|--save|")
        );
        assert_eq!(
            split(r#"sh -c "echo \"a b\" '\n'""#).as_deref(),
            Some(r#"sh|-c|echo "a b" '\n'"#)
        );
        assert_eq!(split(r"a\ b c'd'e").as_deref(), Some("a b|cde"));
        assert_eq!(split("").as_deref(), Some(""));
        assert_eq!(split("a 'b"), None);
    }
}
