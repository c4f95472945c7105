//! What `up` says once everything stands: addresses, what was built, how long it took.

use super::amount::megabytes;
use super::terminal::{Paint, counted};
use super::{until, uplink};
use crate::columns::{WIDTH, paragraph, shortened, wrapped};
use crate::compose::{Condition, Policy, Project};
use crate::plan::{Direct, Held, Plan};

/// Most columns of a network's name.
const NETWORK: usize = 20;

/// What the summary says beside what the lab itself reports.
pub(super) struct Told {
    pub heading: &'static str,
    pub summary: String,
    /// What this host may connect to by the uplink, if that stands.
    pub direct: Vec<Direct>,
    pub held: Option<Held>,
    pub build_ms: u64,
    pub network_ms: f64,
    /// Why limits that the file states are not enforced.
    pub unenforced: Option<String>,
}

/// What can be said of a lab that is up: nobody knows how what has no health check fares. What others wait for the end of has none.
pub(super) fn heading(project: &Project, plan: &Plan) -> &'static str {
    let is_one_shot = |name: &str| {
        let mut waits = project
            .services
            .values()
            .filter_map(|one| one.depends_on.get(name));
        waits.any(|wait| wait.condition == Condition::ServiceCompletedSuccessfully)
    };
    let mut services = plan.start_order.iter().filter(|name| !is_one_shot(name));
    let is_checked = |name: &String| {
        project
            .services
            .get(name)
            .is_some_and(|one| one.healthcheck.is_some())
    };
    if plan.instances.is_empty() {
        "The network is up, and no service."
    } else if services.all(is_checked) {
        "Everything is up and healthy."
    } else {
        "Everything is up, and healthy where there is a health check."
    }
}

/// What is built, for [`ready`].
pub(super) fn summary(project: &Project, plan: &Plan) -> String {
    let mut text = String::new();
    for port in &plan.publish {
        let host = port
            .host_ip
            .map_or_else(|| "localhost".to_owned(), |address| address.to_string());
        let head = format!("  {:<28} ", format!("http://{host}:{}", port.host_port));
        let end = format!(":{}", port.target_port);
        let room = WIDTH.saturating_sub(head.len() + end.len());
        text.push_str(&format!("{head}{}{end}\n", shortened(&port.service, room)));
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
        let name = shortened(&tier.name, NETWORK);
        let head = format!("  {name:<9} {:<16} ", tier.subnet.to_string());
        let inhabitants: Vec<String> = plan
            .instances
            .iter()
            .filter_map(|instance| {
                let link = instance
                    .link
                    .as_ref()
                    .filter(|link| link.tier == tier.name)?;
                let [.., last] = link.address.addr().octets();
                Some(entry(&head, &instance.name, &format!(".{last}")))
            })
            .collect();
        text.push_str(&wrapped(&head, &inhabitants));
    }
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

/// The whole text, for when the lab has become healthy `at_ms` after it began.
fn ready(told: &Told, at_ms: u64, memory: &[(String, u64)], foreground: bool) -> String {
    let paint = Paint::stderr();
    let seconds = |ms: u64| format!("{}.{} s", ms / 1000, ms % 1000 / 100);
    let mut text = format!("\n{}\n{}", paint.good(told.heading), told.summary);
    text.push_str(&uplink::reachable("  direct    ", &told.direct));
    text.push_str(&format!(
        "  took      build {}, network {:.0} ms, all healthy {}\n",
        seconds(told.build_ms),
        told.network_ms,
        seconds(at_ms)
    ));
    if !memory.is_empty() {
        let head = "  memory    ";
        let each: Vec<String> = memory
            .iter()
            .map(|(name, bytes)| entry(head, name, &megabytes(*bytes)))
            .collect();
        let sum = megabytes(memory.iter().map(|(_, bytes)| bytes).sum());
        text.push_str(
            &wrapped(head, &[vec![format!("{sum} together:")], each].concat()).replace(":,", ":"),
        );
    }
    if let Some(why) = &told.unenforced {
        text.push_str(&paragraph("  limits    ", &format!("not enforced: {why}")));
    }
    let program = invocation();
    let next = match foreground {
        true => {
            format!("Ctrl-C takes it down. Meanwhile: {program} ps | logs | exec SERVICE COMMAND")
        }
        false => format!("{program} ps | logs -f | exec SERVICE COMMAND | down"),
    };
    format!("{text}\n{}", paragraph("  ", &next))
}

/// An instance and what is told of it, as short as one line after `head` takes, with the comma that may follow.
fn entry(head: &str, name: &str, told: &str) -> String {
    let taken = head.chars().count() + told.len() + " ,".len();
    format!("{} {told}", shortened(name, WIDTH.saturating_sub(taken)))
}

/// This program as it was called, so that what is printed can be typed: few have it on their PATH.
pub(super) fn invocation() -> String {
    std::env::args_os().next().map_or_else(
        || "netns-setup".into(),
        |program| program.to_string_lossy().into_owned(),
    )
}
