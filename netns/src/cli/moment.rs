//! Moments and times of day, as options take them and as they are printed.

use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime, PrimitiveDateTime};

use crate::lab::clock::unix_ns;

const SECOND: u64 = 1_000_000_000;

const DAY: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");
/// RFC 3339 without a zone, and what may be left out of it.
const IN_UTC: &[BorrowedFormatItem<'_>] = format_description!(
    version = 2,
    "[year]-[month]-[day]T[hour]:[minute][optional [:[second][optional [.[subsecond]]]]]"
);
const WRITTEN: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:9]Z");

/// Parses a moment, in nanoseconds since 1970.
///
/// # Errors
/// What was expected.
pub(super) fn moment(text: &str) -> Result<u64, String> {
    moment_at(text, unix_ns())
}

fn moment_at(text: &str, now: u64) -> Result<u64, String> {
    let found = seconds(text)
        .or_else(|| date(text))
        .or_else(|| ago(text).map(|ago| now.saturating_sub(ago)));
    found.ok_or_else(|| {
        format!(
            "{text:?} is no time: expected 2026-01-31T12:00:00Z, 2026-01-31, seconds since 1970, or how long ago as in 1h30m"
        )
    })
}

/// Seconds with decimals, in nanoseconds: digits that are no longer counted are dropped.
fn seconds(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let fraction: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    let whole: u64 = whole.parse().ok()?;
    whole
        .checked_mul(SECOND)?
        .checked_add(fraction.parse().ok()?)
}

/// A date, or RFC 3339; in UTC where it names no zone.
fn date(text: &str) -> Option<u64> {
    let time = OffsetDateTime::parse(text, &Rfc3339)
        .or_else(|_| PrimitiveDateTime::parse(text, IN_UTC).map(PrimitiveDateTime::assume_utc))
        .or_else(|_| Date::parse(text, DAY).map(|day| day.midnight().assume_utc()));
    u64::try_from(time.ok()?.unix_timestamp_nanos()).ok()
}

/// How long, in nanoseconds, as Go writes durations, and in days.
fn ago(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut ago = 0_u64;
    while !rest.is_empty() {
        let unit = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let (count, after) = rest.split_at(unit);
        let end = after.find(|character: char| character.is_ascii_digit());
        let (unit, after) = after.split_at(end.unwrap_or(after.len()));
        let unit = match unit {
            "ns" => 1,
            "us" | "µs" => 1000,
            "ms" => 1_000_000,
            "s" => SECOND,
            "m" => 60 * SECOND,
            "h" => 3600 * SECOND,
            "d" => 86_400 * SECOND,
            _ => return None,
        };
        // In billionths of the unit; more than there is time is all of it.
        let part = u128::from(seconds(count)?) * u128::from(unit) / u128::from(SECOND);
        ago = ago.saturating_add(u64::try_from(part).unwrap_or(u64::MAX));
        rest = after;
    }
    (!text.is_empty()).then_some(ago)
}

/// RFC 3339 in UTC, to the nanosecond: always as long.
pub(super) fn written(nanos: u64) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(nanos.into())
        .ok()
        .and_then(|time| time.format(WRITTEN).ok())
        .unwrap_or_else(|| nanos.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_date_a_number_or_how_long_ago() {
        let now = 1_800_000_000 * SECOND;
        for (text, nanos) in [
            ("1h30m", now - 5400 * SECOND),
            ("1.5h", now - 5400 * SECOND),
            ("250ms", now - 250_000_000),
            ("0s", now),
            ("2d", now - 172_800 * SECOND),
            ("999999d", 0),
            ("5", 5 * SECOND),
            ("1700000000.5", 1_700_000_000_500_000_000),
            ("1700000000.123456789", 1_700_000_000_123_456_789),
            ("1970-01-01T00:01:00Z", 60 * SECOND),
            ("1970-01-01T01:01:00.25+01:00", 60_250_000_000),
            ("1970-01-01T00:01:00.000000007", 60_000_000_007),
            ("1970-01-01T00:01", 60 * SECOND),
            ("1970-01-02", 86_400 * SECOND),
        ] {
            assert_eq!(moment_at(text, now), Ok(nanos), "{text}");
        }
        for wrong in [
            "",
            "h",
            "10x",
            "1h5",
            "-3",
            "nan",
            "2026-13-31",
            "1..5s",
            ".",
        ] {
            assert!(moment_at(wrong, now).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_is_written_to_the_nanosecond() {
        assert_eq!(written(60_070_000_000), "1970-01-01T00:01:00.070000000Z");
        let nanos = 1_795_417_200_123_456_789;
        assert_eq!(written(nanos), "2026-11-23T07:00:00.123456789Z");
        assert_eq!(moment_at(&written(nanos), 0), Ok(nanos));
    }
}
