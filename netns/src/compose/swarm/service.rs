//! One service in Swarm's words.

use std::collections::BTreeSet;

use super::super::node::{Node, Value};
use super::super::reader::Reader;
use super::deploy::Facts;
use super::document::{Entry, Item, entry, push};
use super::extension::Extension;
use super::storage::{Find, Mounts, Stores};

/// Keys that mean the same on a Swarm, in the order in which they are written.
const CARRIED: &[&str] = &[
    "image",
    "entrypoint",
    "command",
    "user",
    "working_dir",
    "hostname",
    "env_file",
    "environment",
    "expose",
];

/// The same, below what is connected and mounted.
const CARRIED_BELOW: &[&str] = &[
    "healthcheck",
    "stop_signal",
    "stop_grace_period",
    "read_only",
    "cap_drop",
    "cap_add",
    "dns",
    "dns_search",
    "extra_hosts",
    "init",
    "stdin_open",
    "sysctls",
    "tty",
    "ulimits",
    "labels",
    "logging",
];

/// Keys that are said in other words.
const ELSEWHERE: &[&str] = &[
    "configs",
    "cpus",
    "deploy",
    "extends",
    "mem_limit",
    "network_mode",
    "networks",
    "pids_limit",
    "ports",
    "profiles",
    "restart",
    "scale",
    "secrets",
    "tmpfs",
    "volumes",
];

/// Keys that a Swarm has no use for, and why; what is left out of a file is listed at its top.
const LEFT_OUT: &[(&str, &str)] = &[
    ("annotations", "unknown to `docker stack deploy`"),
    ("attach", "concerns the terminal of `docker compose up`"),
    ("build", "a Swarm runs images that its hosts have or pull"),
    ("container_name", "a Swarm names its tasks"),
    (
        "depends_on",
        "a Swarm starts everything at once; what needs another waits for it, unready",
    ),
    (
        "ipv4_address",
        "a Swarm gives addresses; names are what counts",
    ),
    (
        "platform",
        "unknown to `docker stack deploy`; use a placement constraint",
    ),
    ("pull_policy", "a Swarm pulls what a host lacks"),
    (
        "security_opt",
        "ignored by a Swarm: no-new-privileges cannot be had there",
    ),
];

impl Reader<'_> {
    /// The service `name`; `raw` is as it stands in the file, `read` has its variables replaced.
    pub(super) fn swarm_entry(
        &mut self,
        name: &str,
        raw: &Node,
        read: &Node,
        extension: &Extension,
        find: Find<'_>,
        stores: &mut Stores,
    ) -> Entry {
        if read.get("image").is_none() {
            self.error(
                read.at,
                format!("`{name}` has no image, and a Swarm runs nothing else"),
                "state `image`, or leave the service out: x-swarm: { omit: true }",
            );
        }
        if let Some(mode) = read.get("network_mode") {
            self.error(
                mode.at,
                format!("`{name}` has `network_mode`, which a Swarm does not know"),
                "remove it, or leave the service out: x-swarm: { omit: true }",
            );
        }
        let mut entries = Vec::new();
        let mut comments = Vec::new();
        let carry = |entries: &mut Vec<Entry>, key: &str| {
            if let Some(node) = raw.get(key) {
                push(entries, key, Item::carried(key, node));
            }
        };
        for key in CARRIED {
            carry(&mut entries, key);
        }
        let mut publishes = false;
        if let (Some(raw), Some(read)) = (raw.get("ports"), read.get("ports")) {
            let (ports, left_out) = self.published(name, raw, read);
            publishes = matches!(&ports, Item::List(ports) if !ports.is_empty());
            push(&mut entries, "ports", ports);
            comments.extend(
                left_out
                    .into_iter()
                    .map(|what| format!("Left out: {what}.")),
            );
        }
        push(
            &mut entries,
            "networks",
            raw.get("networks").map_or(Item::Null, networks),
        );
        let memory = read
            .get("tmpfs")
            .map(|node| self.memory(name, node))
            .unwrap_or_default();
        let mut mounts = Mounts::default();
        if let (Some(raw), Some(read)) = (raw.get("volumes"), read.get("volumes")) {
            mounts = self.storage(name, raw, read, extension, find, stores);
        }
        mounts.volumes.extend(memory);
        push(&mut entries, "volumes", Item::List(mounts.volumes));
        for (key, mut made) in [("configs", mounts.configs), ("secrets", mounts.secrets)] {
            if let Some(Item::List(stated)) = raw.get(key).map(|node| Item::carried(key, node)) {
                made.splice(0..0, stated);
            }
            push(&mut entries, key, Item::List(made));
        }
        for key in CARRIED_BELOW {
            carry(&mut entries, key);
        }
        let facts = Facts {
            publishes,
            has_volume: mounts.keeps_data,
        };
        let deploy = self.deployment(name, raw, read, facts);
        push(&mut entries, "deploy", deploy);
        Entry {
            comments,
            key: name.to_owned(),
            value: Item::Map(entries),
        }
    }
}

/// What is in the file's services but not in a Swarm's, with the reasons.
pub(super) fn left_out(services: &[&Node]) -> Vec<String> {
    let has = |key: &str| {
        services.iter().any(|service| match key {
            "ipv4_address" => {
                matches!(service.get("networks").map(|node| &node.value), Some(Value::Map(members))
                if members.iter().any(|(_, member)| member.get(key).is_some()))
            }
            _ => service.get(key).is_some(),
        })
    };
    let mut left_out: Vec<String> = LEFT_OUT
        .iter()
        .filter(|(key, _)| has(key))
        .map(|(key, reason)| format!("{key}: {reason}"))
        .collect();
    let mut unknown: BTreeSet<&str> = BTreeSet::new();
    for service in services {
        if let Value::Map(entries) = &service.value {
            unknown.extend(entries.iter().map(|(key, _)| key.name.as_str()));
        }
    }
    unknown.retain(|key| {
        !key.starts_with("x-")
            && ![CARRIED, CARRIED_BELOW, ELSEWHERE]
                .iter()
                .any(|keys| keys.contains(key))
            && !LEFT_OUT.iter().any(|(other, _)| other == key)
    });
    left_out.extend(
        unknown
            .iter()
            .map(|key| format!("{key}: a Swarm is told nothing of it")),
    );
    left_out
}

/// Names of networks, and of the service in them: addresses and priorities mean nothing on a Swarm.
fn networks(node: &Node) -> Item {
    let Value::Map(members) = &node.value else {
        return Item::carried("networks", node);
    };
    if members
        .iter()
        .all(|(_, member)| member.get("aliases").is_none())
    {
        return Item::List(
            members
                .iter()
                .map(|(key, _)| Item::text(&key.name))
                .collect(),
        );
    }
    let members = members.iter().map(|(key, member)| {
        let aliases = member
            .get("aliases")
            .map_or(Item::Null, |node| Item::carried("aliases", node));
        let mut fields = Vec::new();
        push(&mut fields, "aliases", aliases);
        entry(&key.name, Item::Map(fields))
    });
    Item::Map(members.collect())
}
