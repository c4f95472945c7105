//! `events`: what happens, as it happens.

use clap::Args;
use serde_json::json;

use super::args::Global;
use super::failure::{Code, Failure};
use super::terminal::{Paint, out};
use super::{moment, project, ps, reader};
use crate::lab::client::Client;
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

A time is a date or RFC 3339 (in UTC where it names no zone), seconds since
1970, or how long ago: 90s, 10m, 1h30m, 2d.
The lab keeps its last 1024 events. Actions are Docker's: start, die (with
exitCode), kill, stop, pause, unpause, oom, health_status; start_failed is ours.")]
pub(super) struct Events {
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Also what has happened since then
    #[arg(long, value_name = "TIME", value_parser = milliseconds)]
    pub since: Option<u64>,
    /// Nothing that happens after
    #[arg(long, value_name = "TIME", value_parser = milliseconds)]
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
    let nanoseconds = moment::written(unix_ms.saturating_mul(1_000_000));
    let milliseconds = nanoseconds.get(.."2026-01-31T12:00:00.000".len());
    milliseconds.map_or_else(|| unix_ms.to_string(), |time| format!("{time}Z"))
}

/// Parses a moment, in milliseconds since 1970.
fn milliseconds(text: &str) -> Result<u64, String> {
    moment::moment(text).map(|nanoseconds| nanoseconds / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_to_the_millisecond() {
        assert_eq!(written(60_070), "1970-01-01T00:01:00.070Z");
    }
}
