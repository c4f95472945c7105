//! Who can reach whom: every pair, every port, tried by real connections.

use std::collections::BTreeMap;
use std::net::{SocketAddr, SocketAddrV6};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::dial::{Dialled, dial};
use crate::instance::{enter, link_local, namespaces};
use crate::setting::{Lab, said};

/// What the Compose file declares, written out: the test does not ask the program under test what is right.
const DECLARED: [(&str, &str, u16); 13] = [
    ("world", "api-gateway", 3000),
    ("api-gateway", "service-registry", 8500),
    ("api-gateway", "product-service", 5000),
    ("api-gateway", "order-service", 5000),
    ("product-service", "redis", 6379),
    ("product-service", "postgres", 5432),
    ("product-service", "service-registry", 8500),
    ("order-service", "postgres", 5432),
    ("order-service", "redis", 6379),
    ("order-service", "product-service", 5000),
    ("order-service", "service-registry", 8500),
    ("service-registry", "product-service", 5000),
    ("service-registry", "order-service", 5000),
];

/// Every port something listens on, and one nothing does.
const PORTS: [u16; 7] = [22, 3000, 3001, 5000, 5432, 6379, 8500];

fn is_declared(from: &str, to: &str, port: u16) -> bool {
    DECLARED.contains(&(from, to, port))
}

/// Tries every (instance, instance, port) but an instance's own, and says how many were open and closed.
pub(crate) async fn every_pair(lab: &Lab<'_>) -> Result<String> {
    let (first, instances) = (lab.first_process().await?, lab.instances().await?);
    let mut sources: Vec<(String, String, PathBuf)> =
        vec![("world".into(), "world".into(), world(first)?)];
    for instance in &instances {
        let pid = instance
            .pid
            .with_context(|| format!("{} does not run", instance.name))?;
        sources.push((
            instance.name.clone(),
            instance.service.clone(),
            format!("/proc/{pid}/ns/net").into(),
        ));
    }
    let mut link_locals = BTreeMap::new();
    for (name, _, namespace) in &sources {
        if let Some(address) = link_local(first, namespace).await? {
            link_locals.insert(name.as_str(), address);
        }
    }
    let (mut open, mut closed, mut wrong) = (0, 0, Vec::new());
    for (name, service, namespace) in &sources {
        let mut targets: BTreeMap<SocketAddr, bool> = BTreeMap::new();
        let mut names = BTreeMap::new();
        for to in instances.iter().filter(|to| to.name != *name) {
            for port in PORTS {
                let address: SocketAddr = format!("{}:{port}", to.address).parse()?;
                targets.insert(address, is_declared(service, &to.service, port));
                names.insert(address, to.name.as_str());
                // On the same wire there is IPv6 too, which no flow ever opens.
                let ends = link_locals
                    .get(name.as_str())
                    .zip(link_locals.get(to.name.as_str()));
                if let Some(((_, interface), (address, _))) = ends {
                    let address = SocketAddrV6::new(*address, port, 0, *interface).into();
                    targets.insert(address, false);
                    names.insert(address, to.name.as_str());
                }
            }
        }
        let dialled = dial(first, namespace, &targets)?;
        ensure!(
            dialled.len() == targets.len(),
            "{name}: {} of {} were dialled",
            dialled.len(),
            targets.len()
        );
        for (address, dialled) in dialled {
            let expected = if targets[&address] {
                Dialled::Open
            } else {
                Dialled::Closed
            };
            if dialled == expected {
                *(if targets[&address] {
                    &mut open
                } else {
                    &mut closed
                }) += 1;
            } else {
                wrong.push(format!(
                    "{name} -> {} ({address}): expected {expected:?}, found {dialled:?}",
                    names[&address],
                ));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(format!(
        "{open} declared open, {closed} others closed, from {} namespaces",
        sources.len()
    ))
}

/// The namespace for which `is` holds of the output of a command run in it.
fn find(first_process: i32, command: &Command, is: impl Fn(&str) -> bool) -> Result<PathBuf> {
    for namespace in namespaces(first_process)? {
        let output = enter(first_process, &namespace, command)?;
        ensure!(
            output.status.success(),
            "{command:?} in {}: {}",
            namespace.display(),
            said(&output)
        );
        if is(&String::from_utf8_lossy(&output.stdout)) {
            return Ok(namespace);
        }
    }
    anyhow::bail!("no namespace of process {first_process} is the one looked for by {command:?}")
}

fn ip(arguments: &[&str]) -> Command {
    let mut command = Command::new("ip");
    command.args(arguments);
    command
}

fn world(first_process: i32) -> Result<PathBuf> {
    find(first_process, &ip(&["-4", "-br", "addr"]), |addresses| {
        addresses.contains("203.0.113.2/")
    })
}

fn router(first_process: i32) -> Result<PathBuf> {
    find(
        first_process,
        &ip(&["-br", "link", "show", "type", "bridge"]),
        |bridges| bridges.contains("br-"),
    )
}

/// Runs a shell command in the router's namespace: what it printed.
pub(crate) async fn in_router(lab: &Lab<'_>, script: &str) -> Result<String> {
    let first = lab.first_process().await?;
    in_namespace(first, &router(first)?, script)
}

fn in_namespace(first: i32, namespace: &Path, script: &str) -> Result<String> {
    let mut command = Command::new("/bin/sh");
    command.args(["-ec", script]);
    let output = enter(first, namespace, &command)?;
    ensure!(output.status.success(), "{script}: {}", said(&output));
    Ok(String::from_utf8(output.stdout)?)
}

/// Switches off, in the lab's own namespaces, the kernel's help that stock machines lack: bridged packets handed to the IP
/// firewall. Says whether there was any.
pub(crate) async fn without_bridge_netfilter(lab: &Lab<'_>) -> Result<String> {
    in_router(lab, "f=/proc/sys/net/bridge/bridge-nf-call-iptables; if [ -e $f ]; then echo 0 > $f; cat $f; else echo absent; fi")
        .await
        .map(|now| now.trim().to_owned())
}
