//! What `up` says once everything stands: addresses, what was built, how long it took.

use super::terminal::{Paint, counted, megabytes};
use super::{until, uplink};
use crate::compose::{Policy, Project};
use crate::plan::{Direct, Held, Plan};

/// What the summary says beside what the lab itself reports.
pub(super) struct Told {
    pub summary: String,
    /// What this host may connect to by the uplink, if that stands.
    pub direct: Vec<Direct>,
    pub held: Option<Held>,
    pub build_ms: u64,
    pub network_ms: f64,
    /// Why limits that the file states are not enforced.
    pub unenforced: Option<String>,
}

/// What is built, for [`ready`].
pub(super) fn summary(project: &Project, plan: &Plan) -> String {
    let mut text = String::new();
    for port in &plan.publish {
        let host = port
            .host_ip
            .map_or_else(|| "localhost".to_owned(), |address| address.to_string());
        text.push_str(&format!(
            "  {:<28} {}:{}\n",
            format!("http://{host}:{}", port.host_port),
            port.service,
            port.target_port
        ));
    }
    let rules = match &project.policy {
        Policy::Flows(flows) => format!(
            "{} open, all else refused",
            counted(flows.len(), "flow", "flows")
        ),
        Policy::SharedNetworks => "open between services that share a network".to_owned(),
    };
    let built = format!(
        "{}, {}, one router; {rules}",
        counted(plan.instances.len(), "sandbox", "sandboxes"),
        counted(plan.tiers.len(), "bridge", "bridges"),
    );
    text.push('\n');
    text.push_str(&paragraph("  built     ", &built));
    for tier in &plan.tiers {
        let inhabitants: Vec<String> = plan
            .instances
            .iter()
            .filter_map(|instance| {
                let link = instance
                    .link
                    .as_ref()
                    .filter(|link| link.tier == tier.name)?;
                let [.., last] = link.address.addr().octets();
                Some(format!("{} .{last}", instance.name))
            })
            .collect();
        text.push_str(&wrapped(
            &format!("  {:<9} {:<16} ", tier.name, tier.subnet.to_string()),
            &inhabitants,
        ));
    }
    text
}

/// `items` after `head`, in as many lines of 80 columns as it takes.
pub(super) fn wrapped(head: &str, items: &[String]) -> String {
    let indent = " ".repeat(head.len());
    let mut text = String::new();
    let mut line = head.to_owned();
    for (number, item) in items.iter().enumerate() {
        let comma = if number + 1 < items.len() { ", " } else { "" };
        if line.len() + item.len() + comma.len() > 80 && line.len() > indent.len() {
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

/// What stands, said once it does: see [`ready`] and [`until::shown`].
pub(super) fn stands(
    told: &Told,
    at_ms: u64,
    memory: &[(String, u64)],
    foreground: bool,
) -> String {
    match &told.held {
        Some(at) if foreground => format!("\n{}  Ctrl-C takes it down\n", until::shown(at)),
        Some(at) => format!("\n{}", until::shown(at)),
        None => ready(told, at_ms, memory, foreground),
    }
}

/// The words of `text` after `head`, in as many lines of 80 columns as it takes.
pub(super) fn paragraph(head: &str, text: &str) -> String {
    let indent = " ".repeat(head.len());
    let mut lines = vec![head.to_owned()];
    for word in text.split(' ') {
        if let Some(line) = lines.last_mut() {
            let is_empty = line.len() == head.len();
            if is_empty || line.len() + 1 + word.len() <= 80 {
                line.push_str(if is_empty { "" } else { " " });
                line.push_str(word);
                continue;
            }
        }
        lines.push(format!("{indent}{word}"));
    }
    lines.join("\n") + "\n"
}

/// The whole text, for when the lab has become healthy `at_ms` after it began.
fn ready(told: &Told, at_ms: u64, memory: &[(String, u64)], foreground: bool) -> String {
    let paint = Paint::stderr();
    let seconds = |ms: u64| format!("{}.{} s", ms / 1000, ms % 1000 / 100);
    let mut text = format!(
        "\n{}\n{}",
        paint.good("Everything is up and healthy."),
        told.summary
    );
    text.push_str(&uplink::reachable("  direct    ", &told.direct));
    text.push_str(&format!(
        "  took      build {}, network {:.0} ms, all healthy {}\n",
        seconds(told.build_ms),
        told.network_ms,
        seconds(at_ms)
    ));
    if !memory.is_empty() {
        let each: Vec<String> = memory
            .iter()
            .map(|(name, bytes)| format!("{name} {}", megabytes(*bytes)))
            .collect();
        let sum = megabytes(memory.iter().map(|(_, bytes)| bytes).sum());
        text.push_str(
            &wrapped(
                "  memory    ",
                &[vec![format!("{sum} together:")], each].concat(),
            )
            .replace(":,", ":"),
        );
    }
    if let Some(why) = &told.unenforced {
        text.push_str(&paragraph("  limits    ", &format!("not enforced: {why}")));
    }
    let program = invocation();
    text.push_str(&if foreground {
        format!("\n  Ctrl-C takes it down. Meanwhile: {program} ps | logs | exec SERVICE COMMAND\n")
    } else {
        format!("\n  {program} ps | logs -f | exec SERVICE COMMAND | down\n")
    });
    text
}

/// This program as it was called, so that what is printed can be typed: few have it on their PATH.
pub(super) fn invocation() -> String {
    std::env::args_os().next().map_or_else(
        || "netns-setup".into(),
        |program| program.to_string_lossy().into_owned(),
    )
}
