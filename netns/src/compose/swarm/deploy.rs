//! `deploy` of a service: what it says itself, `x-swarm` on top, and below both what is right for a Swarm.

use super::super::node::{Node, Value};
use super::super::reader::Reader;
use super::document::{Entry, Item, entry, push};

/// How long a task of a new version has to stay well before the next one is replaced.
const MONITOR: &str = "15s";

/// What the rest of the service means for its deployment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// It publishes ports of its host.
    pub(super) publishes: bool,
    /// It writes to a volume.
    pub(super) has_volume: bool,
}

/// The same place in several mappings, the first that has something to say winning.
#[derive(Clone, Default)]
struct Layers<'n>(Vec<&'n Node>);

impl<'n> Layers<'n> {
    fn get(&self, key: &str) -> Self {
        Self(self.0.iter().filter_map(|node| node.get(key)).collect())
    }

    fn node(&self) -> Option<&'n Node> {
        self.0
            .iter()
            .copied()
            .find(|node| node.value != Value::Null)
    }

    fn text(&self) -> Option<&'n str> {
        match &self.node()?.value {
            Value::Scalar(text) => Some(text),
            _ => None,
        }
    }

    /// What is said here under `key`, as it stands in the file.
    fn item(&self, key: &str) -> Item {
        self.get(key)
            .node()
            .map_or(Item::Null, |node| Item::carried(key, node))
    }

    fn or(&self, key: &str, default: Item) -> Item {
        match self.item(key) {
            Item::Null => default,
            item => item,
        }
    }
}

impl Reader<'_> {
    /// `deploy` of the service `raw`; `read` is the same node with its variables replaced.
    pub(super) fn deployment(&mut self, name: &str, raw: &Node, read: &Node, facts: Facts) -> Item {
        let layers = |service: &'_ Node| -> Vec<Node> {
            [
                service.get("x-swarm").and_then(|node| node.get("deploy")),
                service.get("deploy"),
            ]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
        };
        let (raw_layers, read_layers) = (layers(raw), layers(read));
        let written = Layers(raw_layers.iter().collect());
        let said = Layers(read_layers.iter().collect());
        let is_global = said.get("mode").text() == Some("global");
        let mut entries = Vec::new();
        if is_global {
            entries.push(entry("mode", Item::text("global")));
        }
        self.replicas(name, raw, read, is_global, &mut entries);
        push(
            &mut entries,
            "endpoint_mode",
            written.or("endpoint_mode", Item::text("dnsrr")),
        );
        let capped = said.get("placement").get("max_replicas_per_node").node();
        if let Some(node) = capped.filter(|_| is_global) {
            self.error(
                node.at,
                format!(
                    "`{name}` is global, which is one on each host, and has max_replicas_per_node"
                ),
                "remove one of the two",
            );
        }
        if facts.has_volume
            && !is_global
            && said.get("placement").get("constraints").node().is_none()
        {
            let at = read.get("volumes").map_or(read.at, |node| node.at);
            self.error(
                at,
                format!("`{name}` keeps its data in a volume of whichever host it runs on, and nothing ties it to one"),
                "add x-swarm: { deploy: { placement: { constraints: [node.labels.NAME == true] } } }",
            );
        }
        let placement = written.get("placement");
        let mut fields = Vec::new();
        for key in ["max_replicas_per_node", "constraints", "preferences"] {
            push(&mut fields, key, placement.item(key));
        }
        push(&mut entries, "placement", Item::Map(fields));
        push(
            &mut entries,
            "resources",
            resources(raw, &written.get("resources")),
        );
        push(
            &mut entries,
            "restart_policy",
            restart_policy(read, &written.get("restart_policy")),
        );
        // A new task beside the old one is what nobody notices, but it would wait for ever for a host's port that the old one
        // has, or for a host that has room under a cap, and two must not write to one volume.
        let alone = is_global || facts.publishes || facts.has_volume || capped.is_some();
        let order = if alone { "stop-first" } else { "start-first" };
        for (key, action) in [("update_config", "rollback"), ("rollback_config", "pause")] {
            let stated = said.get(key).get("order");
            if facts.publishes
                && let (Some("start-first"), Some(node)) = (stated.text(), stated.node())
            {
                self.error(
                    node.at,
                    format!("`{name}` publishes a port, and a task that starts first waits for ever for the port of the one it replaces"),
                    "write stop-first, or leave `order` out",
                );
            }
            push(&mut entries, key, rollout(&written.get(key), order, action));
        }
        push(&mut entries, "labels", written.item("labels"));
        Item::Map(entries)
    }

    fn replicas(
        &mut self,
        name: &str,
        raw: &Node,
        read: &Node,
        is_global: bool,
        entries: &mut Vec<Entry>,
    ) {
        let of = |service: &Node| {
            let swarm = service
                .get("x-swarm")
                .and_then(|node| node.get("deploy")?.get("replicas").cloned());
            let own = || {
                service
                    .get("deploy")
                    .and_then(|node| node.get("replicas").cloned())
            };
            (
                swarm.clone(),
                swarm.or_else(own).or_else(|| service.get("scale").cloned()),
            )
        };
        if is_global {
            if let (Some(node), _) = of(read) {
                self.error(
                    node.at,
                    format!("`{name}` is global, which is one on each host, and has replicas"),
                    "remove one of the two",
                );
            }
            return;
        }
        let replicas = of(raw)
            .1
            .map_or_else(|| Item::plain(&1), |node| Item::carried("replicas", &node));
        entries.push(entry("replicas", replicas));
    }
}

/// Limits may also be said in the service itself, as Compose has it.
fn resources(service: &Node, stated: &Layers<'_>) -> Item {
    let mut entries = Vec::new();
    for (kind, elsewhere) in [
        (
            "limits",
            [Some("cpus"), Some("mem_limit"), Some("pids_limit")],
        ),
        ("reservations", [None, None, None]),
    ] {
        let mut fields = Vec::new();
        for (key, elsewhere) in ["cpus", "memory", "pids"].into_iter().zip(elsewhere) {
            let item = match stated.get(kind).item(key) {
                Item::Null => elsewhere
                    .and_then(|key| service.get(key))
                    .map_or(Item::Null, |node| Item::carried(key, node)),
                item => item,
            };
            push(&mut fields, key, item);
        }
        push(&mut entries, kind, Item::Map(fields));
    }
    Item::Map(entries)
}

/// `restart` in Swarm's words, unless those are there. As everywhere, a policy of the service's own replaces `restart`.
fn restart_policy(read: &Node, stated: &Layers<'_>) -> Item {
    let own = read
        .get("deploy")
        .and_then(|deploy| deploy.get("restart_policy"))
        .filter(|own| own.value != Value::Null);
    let restart = match (own, read.get("restart").map(|node| &node.value)) {
        (Some(_), _) => "always",
        (None, Some(Value::Scalar(text))) => text.as_str(),
        _ => "no",
    };
    let (condition, attempts) = match restart.split_once(':').unwrap_or((restart, "")) {
        ("on-failure", attempts) => ("on-failure", attempts),
        ("always" | "unless-stopped", _) => ("any", ""),
        _ => ("none", ""),
    };
    let mut entries = vec![entry(
        "condition",
        stated.or("condition", Item::text(condition)),
    )];
    push(&mut entries, "delay", stated.or("delay", Item::text("2s")));
    let attempts = if attempts.is_empty() {
        Item::Null
    } else {
        Item::plain(attempts)
    };
    push(
        &mut entries,
        "max_attempts",
        stated.or("max_attempts", attempts),
    );
    push(&mut entries, "window", stated.item("window"));
    Item::Map(entries)
}

fn rollout(stated: &Layers<'_>, order: &str, action: &str) -> Item {
    let mut entries = Vec::new();
    push(
        &mut entries,
        "parallelism",
        stated.or("parallelism", Item::plain(&1)),
    );
    push(&mut entries, "delay", stated.item("delay"));
    push(&mut entries, "order", stated.or("order", Item::text(order)));
    push(
        &mut entries,
        "failure_action",
        stated.or("failure_action", Item::text(action)),
    );
    push(
        &mut entries,
        "monitor",
        stated.or("monitor", Item::text(MONITOR)),
    );
    push(
        &mut entries,
        "max_failure_ratio",
        stated.item("max_failure_ratio"),
    );
    Item::Map(entries)
}
