//! `healthcheck`, `depends_on` and `restart`: what decides when a service starts.

use std::collections::BTreeMap;
use std::time::Duration;

use super::docker_only::Scope;
use super::model::{Condition, Dependency, Healthcheck, Restart};
use super::node::{Node, Value};
use super::reader::Reader;

impl Reader<'_> {
    /// The health check; none when it is disabled. Defaults are the specification's.
    pub(super) fn healthcheck(&mut self, node: &Node, what: &str) -> Option<Healthcheck> {
        let known = [
            "test",
            "interval",
            "timeout",
            "retries",
            "start_period",
            "start_interval",
            "disable",
        ];
        let fields = self.fields(node, what, None, &known);
        let mut duration = |key: &str| {
            let node = fields.get(key).map(|(_, node)| *node)?;
            let value = self.duration(node, key)?;
            if value.is_zero() && key != "start_period" {
                self.error(
                    node.at,
                    format!("{key} is 0"),
                    "write a duration above zero",
                );
            }
            Some(value)
        };
        let interval = duration("interval").unwrap_or(Duration::from_secs(30));
        let timeout = duration("timeout").unwrap_or(Duration::from_secs(30));
        let start_period = duration("start_period").unwrap_or(Duration::ZERO);
        let start_interval = duration("start_interval");
        let retries = fields
            .get("retries")
            .and_then(|(_, node)| self.number(node, "retries", 1, 10_000))
            .unwrap_or(3);
        if fields
            .get("disable")
            .and_then(|(_, node)| self.boolean(node, "disable"))
            == Some(true)
        {
            return None;
        }
        let Some((_, test)) = fields.get("test") else {
            self.error(
                node.at,
                format!("{what} has no `test`"),
                "write test: [CMD, program, argument], or disable: true",
            );
            return None;
        };
        Some(Healthcheck {
            test: self.test(test)?,
            interval,
            timeout,
            retries,
            start_period,
            start_interval,
        })
    }

    fn test(&mut self, node: &Node) -> Option<Vec<String>> {
        let shell = |line: &str| vec!["/bin/sh".to_owned(), "-c".to_owned(), line.to_owned()];
        if let Value::Scalar(line) = &node.value {
            return Some(shell(line));
        }
        let words = self.words(node, "test")?;
        match words.split_first() {
            Some((kind, [])) if kind == "NONE" => None,
            Some((kind, argv)) if kind == "CMD" && !argv.is_empty() => Some(argv.to_vec()),
            Some((kind, [line])) if kind == "CMD-SHELL" => Some(shell(line)),
            _ => {
                self.error(
                    node.at,
                    "test is neither CMD, CMD-SHELL nor NONE",
                    "write [CMD, program, argument] or [CMD-SHELL, \"command line\"]",
                );
                None
            }
        }
    }

    /// What a service waits for. What it does not require, and is not there, is left out.
    pub(super) fn depends_on(
        &mut self,
        node: &Node,
        service: &str,
    ) -> BTreeMap<String, Dependency> {
        let mut dependencies = BTreeMap::new();
        let started = Dependency {
            condition: Condition::ServiceStarted,
            required: true,
            restart: false,
        };
        match &node.value {
            Value::List(items) => {
                for item in items {
                    if let Some(name) = self.text(item, "depends_on") {
                        self.places
                            .insert(format!("depends:{service}:{name}"), item.at);
                        dependencies.insert(name.to_owned(), started.clone());
                    }
                }
            }
            _ => {
                for (key, value) in self.entries(node, "depends_on") {
                    self.places
                        .insert(format!("depends:{service}:{}", key.name), key.at);
                    let what = format!("depends_on.{}", key.name);
                    let fields =
                        self.fields(value, &what, None, &["condition", "required", "restart"]);
                    let condition = fields.get("condition").and_then(|(_, node)| {
                        let form =
                            "service_started, service_healthy or service_completed_successfully";
                        self.parsed(node, "condition", form, |text| match text {
                            "service_started" => Some(Condition::ServiceStarted),
                            "service_healthy" => Some(Condition::ServiceHealthy),
                            "service_completed_successfully" => {
                                Some(Condition::ServiceCompletedSuccessfully)
                            }
                            _ => None,
                        })
                    });
                    let mut flag = |key: &str| {
                        let (_, node) = fields.get(key)?;
                        self.boolean(node, key)
                    };
                    let (required, restart) = (flag("required"), flag("restart"));
                    dependencies.insert(
                        key.name.clone(),
                        Dependency {
                            condition: condition.unwrap_or(started.condition),
                            required: required.unwrap_or(true),
                            restart: restart.unwrap_or(false),
                        },
                    );
                }
            }
        }
        dependencies.retain(|name, dependency| {
            if !dependency.required && !self.services.contains(name) {
                return false;
            }
            let place = self.places.get(&format!("depends:{service}:{name}"));
            let at = place.copied().unwrap_or(node.at);
            self.is_service(at, name, &format!("`{service}` depends on"))
        });
        dependencies
    }

    /// `deploy.restart_policy`, in whose words Compose takes `restart` too. Without a `condition` the specification says `any`.
    pub(super) fn restart_policy(&mut self, node: &Node) -> Option<Restart> {
        if node.value == Value::Null {
            return None;
        }
        let known = ["condition", "max_attempts"];
        let fields = self.fields(node, "restart_policy", Some(Scope::RestartPolicy), &known);
        let mut restart = Some(Restart::Always);
        if let Some((_, node)) = fields.get("condition") {
            restart = self.parsed(
                node,
                "condition",
                "none, on-failure or any",
                |text| match text {
                    "none" => Some(Restart::No),
                    "on-failure" => Some(Restart::OnFailure { max_retries: None }),
                    "any" => Some(Restart::Always),
                    _ => None,
                },
            );
        }
        let attempts = fields.get("max_attempts").and_then(|(key, node)| {
            let attempts = self.number(node, "max_attempts", 0, u32::MAX)?;
            // None at all is no bound, as in Docker.
            (attempts > 0).then_some((key.at, attempts))
        });
        match (&mut restart, attempts) {
            (Some(Restart::OnFailure { max_retries }), Some((_, attempts))) => {
                *max_retries = Some(attempts);
            }
            (Some(Restart::Always), Some((at, _))) => self.warn(
                at,
                "max_attempts bounds restarts after failures only, and the condition is `any`: it is started again without end",
                "write condition: on-failure (Compose itself refuses to start this)",
            ),
            _ => {}
        }
        restart
    }

    /// The restart policy.
    pub(super) fn restart(&mut self, node: &Node) -> Option<Restart> {
        self.parsed(
            node,
            "restart",
            "\"no\", always, on-failure, on-failure:N or unless-stopped",
            |text| match text {
                // An unquoted `no` is the boolean in YAML 1.1.
                "no" | "false" => Some(Restart::No),
                "always" => Some(Restart::Always),
                "unless-stopped" => Some(Restart::UnlessStopped),
                "on-failure" => Some(Restart::OnFailure { max_retries: None }),
                other => Some(Restart::OnFailure {
                    max_retries: Some(other.strip_prefix("on-failure:")?.parse().ok()?),
                }),
            },
        )
    }
}
