//! `events`: what happens, as it happens.

use clap::Args;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::args::Global;
use super::failure::{Code, Failure};
use super::terminal::{Paint, out};
use super::{project, ps, reader};
use crate::lab::client::Client;
use crate::lab::clock::unix_ms;
use crate::lab::events::Event;
use crate::lab::protocol::{Reply, Request};

/// `events`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  netns-setup events
  netns-setup events --since 10m postgres
  netns-setup events --json --since 2026-01-31T12:00:00Z
  netns-setup events --since 1h --until 0s       what happened, and return

A time is RFC 3339, seconds since 1970, or how long ago: 90s, 10m, 1h30m.
The lab keeps its last 1024 events. Actions are Docker's: start, die (with
exitCode), kill, stop, oom, health_status; start_failed is our own.")]
pub(super) struct Events {
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Also what has happened since then
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<u64>,
    /// Nothing that happens after
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<u64>,
    /// Services or instances [default: all]
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

pub(super) fn run(global: &Global, events: &Events) -> Result<u8, Failure> {
    let state = project::find_up(global)?;
    if !events.services.is_empty() {
        ps::chosen(&ps::status(&state)?, &events.services)?;
    }
    let request = Request::Events {
        since_unix_ms: events.since,
        until_unix_ms: events.until,
    };
    let mut client = Client::ask(&state.control(), request, &[])?;
    let paint = Paint::stdout();
    reader::wait_for_end()?;
    loop {
        match client.reply()? {
            Some(Reply::Event(event)) => {
                let of = |wanted: &String| [&event.instance, &event.service].contains(&wanted);
                if !events.services.is_empty() && !events.services.iter().any(of) {
                    continue;
                }
                let text = if events.json {
                    machine(&event)
                } else {
                    human(paint, &event)
                };
                out(&format!("{text}\n"))?;
            }
            Some(Reply::Error { message, .. }) => {
                return Err(Failure::new(Code::Failed, format!("error: {message}")));
            }
            _ => return Ok(0), // the lab has ended, or `until` is reached
        }
    }
}

/// As `docker compose events` prints it.
fn human(paint: Paint, event: &Event) -> String {
    let mut attributes: Vec<String> = event
        .attributes
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    attributes.push(format!("service={}", event.service));
    let action = match event.action.as_str() {
        "die" | "oom" | "start_failed" | "health_status: unhealthy" => paint.bad(&event.action),
        "health_status: healthy" => paint.good(&event.action),
        other => other.to_owned(),
    };
    format!(
        "{} {action} {} ({})",
        written(event.at_unix_ms),
        event.instance,
        attributes.join(", ")
    )
}

fn machine(event: &Event) -> String {
    json!({
        "time": written(event.at_unix_ms),
        "type": "instance",
        "service": event.service,
        "id": event.instance,
        "action": event.action,
        "attributes": event.attributes,
    })
    .to_string()
}

/// RFC 3339 in UTC, to the millisecond.
fn written(unix_ms: u64) -> String {
    // The format writes no digits that are 0 at the end; three keep lines below each other.
    OffsetDateTime::from_unix_timestamp(i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX))
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .map_or_else(
            || unix_ms.to_string(),
            |time| format!("{}.{:03}Z", time.trim_end_matches('Z'), unix_ms % 1000),
        )
}

/// Parses a moment, in milliseconds since 1970.
fn moment(text: &str) -> Result<u64, String> {
    moment_at(text, unix_ms())
}

fn moment_at(text: &str, now: u64) -> Result<u64, String> {
    let expected = || {
        format!(
            "{text:?} is no time: expected 2026-01-31T12:00:00Z, seconds since 1970, or how long ago as in 1h30m"
        )
    };
    if let Ok(seconds) = text.parse::<f64>() {
        return std::time::Duration::try_from_secs_f64(seconds)
            .ok()
            .and_then(|since_1970| u64::try_from(since_1970.as_millis()).ok())
            .ok_or_else(expected);
    }
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        return u64::try_from(time.unix_timestamp_nanos() / 1_000_000).map_err(|_| expected());
    }
    let mut ago = 0_u64;
    let mut number = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let unit = match character {
            '0'..='9' => {
                number.push(character);
                continue;
            }
            'm' if characters.next_if_eq(&'s').is_some() => 1,
            's' => 1000,
            'm' => 60_000,
            'h' => 3_600_000,
            'd' => 86_400_000,
            _ => return Err(expected()),
        };
        let count: u64 = number.parse().map_err(|_| expected())?;
        ago = ago.saturating_add(count.saturating_mul(unit));
        number.clear();
    }
    if !number.is_empty() || text.is_empty() {
        return Err(expected());
    }
    Ok(now.saturating_sub(ago))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_date_a_number_or_how_long_ago() {
        let now = 1_800_000_000_000;
        assert_eq!(moment_at("1h30m", now), Ok(now - 5_400_000));
        assert_eq!(moment_at("250ms", now), Ok(now - 250));
        assert_eq!(moment_at("1700000000.5", now), Ok(1_700_000_000_500));
        assert_eq!(moment_at("1970-01-01T00:01:00Z", now), Ok(60_000));
        assert_eq!(moment_at("999999d", now), Ok(0));
        for wrong in ["", "5", "h", "10x", "1h5", "-3", "nan", "2026-01-31"] {
            assert!(wrong == "5" || moment_at(wrong, now).is_err(), "{wrong}");
        }
        assert_eq!(written(60_070), "1970-01-01T00:01:00.070Z");
    }
}
