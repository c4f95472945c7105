//! Who starts when: by the engine's own record of what happened.

use std::collections::BTreeMap;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use crate::docker::mortal;
use crate::stack::{DEADLINE, Stack};

/// Each, and who has to be ready before it starts.
const NEEDS: &[(&str, &[&str])] = &[
    ("postgres", &[MINT]),
    ("redis", &[MINT]),
    ("service-registry", &[MINT]),
    (
        "product-service",
        &[MINT, "postgres", "redis", "service-registry"],
    ),
    (
        "order-service",
        &[MINT, "postgres", "redis", "service-registry"],
    ),
    (
        "api-gateway",
        &["service-registry", "product-service", "order-service"],
    ),
];
/// Ready when it has ended well; the others when they are healthy.
const MINT: &str = "secrets";

/// A line of `docker events --format {{json .}}`.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "Action")]
    action: String,
    #[serde(rename = "Actor")]
    actor: Actor,
    #[serde(rename = "timeNano")]
    nanoseconds: u64,
}

#[derive(Deserialize)]
struct Actor {
    #[serde(rename = "Attributes")]
    attributes: BTreeMap<String, String>,
}

/// Listens from its making on.
pub(crate) struct StartOrder {
    lines: Lines<BufReader<ChildStdout>>,
    _listener: Child,
}

impl StartOrder {
    /// Of a stack that is about to be brought up.
    pub(crate) fn watch(stack: &Stack) -> Result<Self> {
        let project = format!("label=com.docker.compose.project={}", stack.name);
        let mut command = mortal("docker");
        // What happens before it is heard, too: the engine keeps some, and nobody else's are of this name.
        command.args(["events", "--since", "10m", "--format", "{{json .}}"]);
        command.args(["--filter", &project]);
        for event in ["start", "die", "health_status"] {
            command.args(["--filter", &format!("event={event}")]);
        }
        let mut listener = command.stdout(Stdio::piped()).spawn()?;
        let output = listener.stdout.take().context("its output")?;
        Ok(Self {
            lines: BufReader::new(output).lines(),
            _listener: listener,
        })
    }

    /// To be asked when all is up: nobody was started before those it needs were ready for the first time.
    pub(crate) async fn kept(mut self) -> Result<()> {
        let (mut started, mut ready) = (BTreeMap::new(), BTreeMap::new());
        while ready.len() < NEEDS.len() + 1 {
            let line = tokio::time::timeout(DEADLINE, self.lines.next_line())
                .await
                .with_context(|| format!("ready were only {ready:?}"))??;
            let event: Event = serde_json::from_str(&line.context("no more events")?)?;
            let attributes = &event.actor.attributes;
            let service = attributes.get("com.docker.compose.service");
            let service = service.context("a service")?.clone();
            let exited = attributes.get("exitCode").map(String::as_str);
            match (event.action.as_str(), exited) {
                ("start", _) => drop(started.entry(service).or_insert(event.nanoseconds)),
                ("die", Some("0")) if service == MINT => {
                    ready.entry(service).or_insert(event.nanoseconds);
                }
                ("health_status: healthy", _) => {
                    ready.entry(service).or_insert(event.nanoseconds);
                }
                _ => {}
            }
        }
        for (service, needs) in NEEDS {
            let started = started.get(*service).context(*service)?;
            for need in *needs {
                let ready = ready.get(*need).context(*need)?;
                ensure!(
                    started >= ready,
                    "{service} was started {} ms before {need} was ready",
                    (ready - started) / 1_000_000
                );
            }
        }
        Ok(())
    }
}
