//! What runs on the hosts, as their engines and this machine's kernel see it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sched::{CloneFlags, setns};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::members::{Dialled, Reached, Target};
use crate::rehearsal::{HOSTS, Rehearsal, STACK};

/// A container of the stack.
pub(crate) struct Task {
    /// The number of the host that it is on.
    pub(crate) host: usize,
    pub(crate) name: String,
    pub(crate) service: String,
    /// Its first process, in this machine's numbers.
    pub(crate) pid: u64,
    /// What `docker inspect` calls `NetworkSettings.Networks`.
    pub(crate) networks: Value,
}

impl Task {
    /// All of them.
    pub(crate) async fn all(rehearsal: &Rehearsal) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for host in 1..=HOSTS {
            let label = format!("label=com.docker.stack.namespace={STACK}");
            let ids = rehearsal
                .docker(host, &["ps", "--quiet", "--filter", &label])
                .await?;
            let ids: Vec<&str> = ids.lines().collect();
            ensure!(!ids.is_empty(), "nothing runs on host{host}");
            let inspect = [&["container", "inspect"], &*ids].concat();
            let inspected: Vec<Value> =
                serde_json::from_str(&rehearsal.docker(host, &inspect).await?)?;
            for state in &inspected {
                all.push(Self::new(host, state)?);
            }
        }
        Ok(all)
    }

    fn new(host: usize, state: &Value) -> Result<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned).context("a text");
        let service = text(&state["Config"]["Labels"]["com.docker.swarm.service.name"])?;
        let service = service.strip_prefix(&format!("{STACK}_"));
        Ok(Self {
            host,
            name: text(&state["Name"])?.trim_start_matches('/').to_owned(),
            service: service.context("its service")?.to_owned(),
            pid: first_process(&text(&state["Id"])?)?,
            networks: state["NetworkSettings"]["Networks"].clone(),
        })
    }

    /// Its address on a network of the Compose file, if it is there.
    pub(crate) fn address(&self, network: &str) -> Option<Ipv4Addr> {
        let network = &self.networks[called(network)];
        network["IPAddress"].as_str()?.parse().ok()
    }

    /// Connects from inside its network namespace.
    pub(crate) async fn dial(&self, targets: Vec<(Target, Reached)>) -> Result<Dialled> {
        let namespace = format!("/proc/{}/ns/net", self.pid);
        let (sender, answer) = tokio::sync::oneshot::channel();
        // A namespace is a thread's: this one ends afterwards.
        std::thread::spawn(move || sender.send(dial_in(&namespace, targets)));
        answer.await.context("the thread that dials panicked")?
    }
}

/// What a network of the Compose file is called on the hosts.
pub(crate) fn called(network: &str) -> String {
    format!("{STACK}_{network}")
}

/// The hosts' engines are in PID namespaces of their own, and number it otherwise: it is the one in the container's control groups
/// that is the first in a namespace.
fn first_process(container: &str) -> Result<u64> {
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // It may have ended meanwhile.
        let read = |file| std::fs::read_to_string(format!("/proc/{pid}/{file}"));
        let Ok((groups, status)) = read("cgroup").and_then(|groups| Ok((groups, read("status")?)))
        else {
            continue;
        };
        let mut lines = status.lines();
        let numbers = lines.find_map(|line| line.strip_prefix("NSpid:"));
        let innermost = numbers.and_then(|numbers| numbers.split_whitespace().last());
        if groups.contains(container) && innermost == Some("1") {
            return Ok(pid);
        }
    }
    anyhow::bail!("no process is the first one of {container}")
}

fn dial_in(namespace: &str, targets: Vec<(Target, Reached)>) -> Result<Dialled> {
    let file = std::fs::File::open(namespace).context(namespace.to_owned())?;
    setns(&file, CloneFlags::CLONE_NEWNET).context(namespace.to_owned())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let dialling = targets.into_iter().map(async |(target, expected)| {
            let patience = Duration::from_secs(expected.patience().into());
            let connecting = TcpStream::connect(SocketAddr::from(target));
            let reached = match tokio::time::timeout(patience, connecting).await {
                Ok(Ok(_)) => Reached::Open,
                Ok(Err(error)) => reading(&error).with_context(|| format!("{target:?}"))?,
                Err(_) => Reached::Not,
            };
            anyhow::Ok((target, reached))
        });
        let dialled = futures_util::future::try_join_all(dialling).await?;
        Ok(dialled.into_iter().collect())
    })
}

fn reading(error: &std::io::Error) -> Result<Reached> {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => Ok(Reached::Refused),
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable | ErrorKind::TimedOut => {
            Ok(Reached::Not)
        }
        _ => anyhow::bail!("{error}"),
    }
}
