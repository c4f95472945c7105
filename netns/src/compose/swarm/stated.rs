//! `deploy` in `x-swarm`: Swarm's own words, checked.

use super::super::node::Node;
use super::super::reader::Reader;

impl Reader<'_> {
    /// What `x-swarm` lays on a service's `deploy`.
    pub(super) fn swarm_deploy(&mut self, node: &Node, what: &str) {
        let fields = self.fields(
            node,
            &format!("deploy in {what}"),
            None,
            &[
                "mode",
                "replicas",
                "endpoint_mode",
                "placement",
                "resources",
                "restart_policy",
                "update_config",
                "rollback_config",
                "labels",
            ],
        );
        let get = |key: &str| fields.get(key).map(|(_, node)| *node);
        if let Some(node) = get("mode") {
            self.word(node, "mode", &["replicated", "global"]);
        }
        if let Some(node) = get("replicas") {
            self.number(node, "replicas", 0, 1000);
        }
        if let Some(node) = get("endpoint_mode") {
            self.word(node, "endpoint_mode", &["dnsrr", "vip"]);
        }
        if let Some(node) = get("placement") {
            self.placement(node);
        }
        if let Some(node) = get("resources") {
            let fields = self.fields(node, "resources", None, &["limits", "reservations"]);
            for (name, (_, node)) in fields {
                for (key, (_, node)) in self.fields(node, name, None, &["cpus", "memory"]) {
                    if key == "memory" {
                        self.bytes(node, key);
                    } else {
                        self.parsed(node, key, "a number above zero such as 0.5", |text| {
                            text.parse()
                                .ok()
                                .filter(|cpus: &f64| cpus.is_finite() && *cpus > 0.0)
                        });
                    }
                }
            }
        }
        if let Some(node) = get("restart_policy") {
            let known = ["condition", "delay", "max_attempts", "window"];
            for (key, (_, node)) in self.fields(node, "restart_policy", None, &known) {
                let _is_right = match key {
                    "condition" => self.word(node, key, &["none", "on-failure", "any"]),
                    "max_attempts" => self.number(node, key, 0, u32::MAX).is_some(),
                    _ => self.duration(node, key).is_some(),
                };
            }
        }
        for (key, actions) in [
            ("update_config", &["continue", "pause", "rollback"][..]),
            ("rollback_config", &["continue", "pause"]),
        ] {
            if let Some(node) = get(key) {
                self.rollout(node, key, actions);
            }
        }
    }

    fn placement(&mut self, node: &Node) {
        let known = ["max_replicas_per_node", "constraints", "preferences"];
        let fields = self.fields(node, "placement", None, &known);
        if let Some((_, node)) = fields.get("max_replicas_per_node") {
            self.number(node, "max_replicas_per_node", 1, 1000);
        }
        for item in fields
            .get("constraints")
            .map_or(&[][..], |(_, node)| self.items(node, "constraints"))
        {
            self.parsed(
                item,
                "a constraint",
                "such as `node.labels.disk == ssd` or `node.role != manager`",
                |text| is_constraint(text).then_some(()),
            );
        }
        for item in fields
            .get("preferences")
            .map_or(&[][..], |(_, node)| self.items(node, "preferences"))
        {
            let fields = self.fields(item, "a preference", None, &["spread"]);
            if let Some((_, node)) = fields.get("spread") {
                // Swarm takes anything here and ignores what is no label: tasks are spread over the hosts as it is.
                self.parsed(
                    node,
                    "spread",
                    "a label: node.labels.NAME or engine.labels.NAME",
                    |text| {
                        ["node.labels.", "engine.labels."]
                            .iter()
                            .any(|label| {
                                text.strip_prefix(label)
                                    .is_some_and(|name| !name.is_empty())
                            })
                            .then_some(())
                    },
                );
            }
        }
    }

    /// `update_config` and `rollback_config`.
    fn rollout(&mut self, node: &Node, what: &str, actions: &[&str]) {
        let known = [
            "parallelism",
            "delay",
            "order",
            "failure_action",
            "monitor",
            "max_failure_ratio",
        ];
        for (key, (_, node)) in self.fields(node, what, None, &known) {
            let _is_right = match key {
                "parallelism" => self.number(node, key, 0, 1000).is_some(),
                "order" => self.word(node, key, &["start-first", "stop-first"]),
                "failure_action" => self.word(node, key, actions),
                "max_failure_ratio" => self
                    .parsed(node, key, "a number from 0 to 1", |text| {
                        let ratio = text.parse().ok();
                        ratio.filter(|ratio: &f64| (0.0..=1.0).contains(ratio))
                    })
                    .is_some(),
                _ => self.duration(node, key).is_some(),
            };
        }
    }

    /// One of a few words; whether it is.
    fn word(&mut self, node: &Node, what: &str, words: &[&str]) -> bool {
        self.parsed(node, what, &words.join(" or "), |text| {
            words.contains(&text).then_some(())
        })
        .is_some()
    }
}

fn is_constraint(text: &str) -> bool {
    let Some((key, value)) = text.split_once("==").or_else(|| text.split_once("!=")) else {
        return false;
    };
    let key = key.trim();
    let known = matches!(
        key,
        "node.id"
            | "node.hostname"
            | "node.ip"
            | "node.role"
            | "node.platform.os"
            | "node.platform.arch"
    ) || ["node.labels.", "engine.labels."]
        .iter()
        .any(|label| key.strip_prefix(label).is_some_and(|name| !name.is_empty()));
    known && !value.trim().is_empty()
}
