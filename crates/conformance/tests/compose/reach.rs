//! Who can reach whom: from every container every port of every other, by real connections.
//!
//! Docker knows membership of networks, not `x-flows`. What is to be expected is computed from the Compose file: who shares a
//! network reaches every port that is bound on it, and is refused on others by the host itself; who shares none gets no answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use ipnet::Ipv4Net;
use serde_json::Value;

use crate::stack::{Container, Stack};

/// Bound by nobody: who is reached refuses it.
const UNUSED: u16 = 22;
/// Seconds for what has to answer (a connection or a refusal), and for what must not.
const ANSWERED: u8 = 5;
const UNANSWERED: u8 = 1;

/// Prints what comes of dialling each `address:port=seconds`.
const DIAL: &str = r#"
for target; do
  (
    to=${target%=*} seconds=${target#*=}
    said=$(timeout "$seconds" bash -c ": </dev/tcp/${to%:*}/${to#*:}" 2>&1) && word=open || word=silent
    case $said in
      *refused*) word=refused ;;
      *unreachable* | *'No route to host'*) word=unreachable ;;
    esac
    echo "$to $word"
  ) &
done
wait"#;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reached {
    /// A connection.
    Open,
    /// The container was reached, and says that nothing listens there.
    Refused,
    /// No way there, or no answer.
    Not,
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Refused => "refused by who was reached",
            Self::Not => "not reached",
        })
    }
}

/// A container, as far as others can tell.
struct Host<'a> {
    container: &'a Container,
    /// The networks that the file gives its service, with its address on each.
    addresses: BTreeMap<String, Ipv4Addr>,
    listens: Vec<(Where, u16)>,
}

/// Where a port is bound.
enum Where {
    Everywhere,
    In(Ipv4Net),
}

impl Host<'_> {
    fn listens(&self, address: Ipv4Addr, port: u16) -> bool {
        self.listens.iter().any(|(at, bound)| {
            let here = match at {
                Where::Everywhere => true,
                Where::In(net) => net.contains(&address),
            };
            here && *bound == port
        })
    }
}

/// Tries all, and says how many were open, refused and not reached.
pub(crate) async fn every_pair(stack: &Stack) -> Result<String> {
    let containers = stack.running().await?;
    let hosts: Vec<Host<'_>> = containers
        .iter()
        .map(|container| host(stack, container))
        .collect::<Result<_>>()?;
    let mut ports: BTreeSet<u16> = hosts
        .iter()
        .flat_map(|host| host.listens.iter().map(|(_, port)| *port))
        .collect();
    ports.insert(UNUSED);
    let (mut counts, mut wrong) = (BTreeMap::<Reached, usize>::new(), Vec::new());
    for from in &hosts {
        let expected = expectations(from, &hosts, &ports);
        let found = dial(stack, from.container, &expected).await?;
        for ((address, port), (to, expected)) in &expected {
            let found = found
                .get(&(*address, *port))
                .with_context(|| format!("{address}:{port} was not dialled"))?;
            if found == expected {
                *counts.entry(*found).or_default() += 1;
            } else {
                let from = &from.container.name;
                wrong.push(format!(
                    "{from} -> {to} ({address}:{port}): {found}, expected: {expected}"
                ));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    let told = counts
        .iter()
        .map(|(reached, count)| format!("{count} {reached}"));
    let told: Vec<String> = told.collect();
    Ok(format!(
        "from {} containers: {}",
        hosts.len(),
        told.join(", ")
    ))
}

type Expected<'a> = BTreeMap<(Ipv4Addr, u16), (&'a str, Reached)>;

fn expectations<'a>(from: &Host<'_>, all: &'a [Host<'_>], ports: &BTreeSet<u16>) -> Expected<'a> {
    let others = all.iter().filter(|to| to.container.id != from.container.id);
    let mut expected = BTreeMap::new();
    for to in others {
        for (network, address) in &to.addresses {
            for port in ports {
                let reached = if !from.addresses.contains_key(network) {
                    Reached::Not
                } else if to.listens(*address, *port) {
                    Reached::Open
                } else {
                    Reached::Refused
                };
                expected.insert((*address, *port), (to.container.name.as_str(), reached));
            }
        }
    }
    expected
}

/// The file's word on a container; that Docker has attached it to just these networks is checked by the way.
fn host<'a>(stack: &Stack, container: &'a Container) -> Result<Host<'a>> {
    let service = &stack.config["services"][&container.service];
    let declared = service["networks"].as_object().context("networks")?;
    let attached = container.state["NetworkSettings"]["Networks"]
        .as_object()
        .context("Networks")?;
    let mut addresses = BTreeMap::new();
    for network in declared.keys() {
        let name = &stack.config["networks"][network]["name"];
        let name = name.as_str().context("the network's name")?;
        let address = attached.get(name).map(|network| &network["IPAddress"]);
        let address = address
            .and_then(Value::as_str)
            .with_context(|| format!("{} is not attached to {network}", container.name))?;
        addresses.insert(network.clone(), address.parse()?);
    }
    ensure!(
        attached.len() == addresses.len(),
        "{} is attached to {:?}",
        container.name,
        attached.keys()
    );
    Ok(Host {
        container,
        addresses,
        listens: listens(stack, &container.service)?,
    })
}

/// What a service binds: what its environment says (`..LISTEN: address:port, ...`), or, of a server that is not ours and binds
/// everywhere, the ports that `x-flows` names.
fn listens(stack: &Stack, service: &str) -> Result<Vec<(Where, u16)>> {
    let environment = &stack.config["services"][service]["environment"];
    let mut listens = Vec::new();
    for (_, value) in environment
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| key.ends_with("LISTEN"))
    {
        for bound in value.as_str().context("LISTEN")?.split(',') {
            let (at, port) = bound.trim().rsplit_once(':').context("address:port")?;
            let at = match at {
                "0.0.0.0" => Where::Everywhere,
                net if net.contains('/') => Where::In(net.parse()?),
                address => Where::In(Ipv4Net::from(address.parse::<Ipv4Addr>()?)),
            };
            listens.push((at, port.parse()?));
        }
    }
    if listens.is_empty() {
        let flows = stack.config["x-flows"].as_array().context("x-flows")?;
        let targets = flows
            .iter()
            .filter_map(Value::as_str)
            .filter_map(|flow| flow.split_once("->"))
            .flat_map(|(_, to)| to.split(','))
            .filter_map(|to| to.trim().split_once(':'));
        for (_, port) in targets.filter(|(to, _)| *to == service) {
            listens.push((Where::Everywhere, port.parse()?));
        }
    }
    ensure!(!listens.is_empty(), "nobody says what {service} listens on");
    Ok(listens)
}

/// Dials from inside a container's network.
async fn dial(
    stack: &Stack,
    from: &Container,
    expected: &Expected<'_>,
) -> Result<BTreeMap<(Ipv4Addr, u16), Reached>> {
    let targets: Vec<String> = expected
        .iter()
        .map(|((address, port), (_, reached))| {
            let seconds = match reached {
                Reached::Not => UNANSWERED,
                Reached::Open | Reached::Refused => ANSWERED,
            };
            format!("{address}:{port}={seconds}")
        })
        .collect();
    let network = format!("container:{}", from.id);
    let said = stack
        .inside(&["--network", &network], DIAL, &targets)
        .await?;
    said.lines().map(reading).collect()
}

fn reading(line: &str) -> Result<((Ipv4Addr, u16), Reached)> {
    let parts = line.split_once(' ').and_then(|(to, word)| {
        let (address, port) = to.split_once(':')?;
        Some((address.parse().ok()?, port.parse().ok()?, word))
    });
    let (address, port, word) = parts.with_context(|| line.to_owned())?;
    let reached = match word {
        "open" => Reached::Open,
        "refused" => Reached::Refused,
        "silent" | "unreachable" => Reached::Not,
        _ => anyhow::bail!("{line}"),
    };
    Ok(((address, port), reached))
}
