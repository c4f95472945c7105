//! Who can reach whom: from every container every port of every other, by real connections.
//!
//! Docker knows membership of networks, not `x-flows`. What is to be expected is computed from the Compose file: who shares a
//! network reaches every port that is bound on it, and is refused on others by the host itself; who shares none gets no answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use ipnet::Ipv4Net;
use serde_json::Value;

use crate::stack::{Container, Stack};

/// Bound by nobody: who is reached refuses it.
const UNUSED: u16 = 22;
/// Seconds for what has to answer (a connection or a refusal), of which a busy machine needs a few, and for what must not.
const ANSWERED: u8 = 30;
const UNANSWERED: u8 = 1;

/// Containers that dial at the same time, some eighty targets each.
const AT_ONCE: usize = 2;

/// Prints what comes of dialling each `address:port=seconds`.
const DIAL: &str = r#"
for target; do
  (
    to=${target%=*} seconds=${target#*=}
    said=$(timeout "$seconds" bash -c ": </dev/tcp/${to%:*}/${to#*:}" 2>&1) && code=0 || code=$?
    case $code,$said in
      0,*) echo "$to open" ;;
      *refused*) echo "$to refused" ;;
      *unreachable* | *'No route to host'* | 124,* | 143,*) echo "$to not" ;;
      *) echo "$to" $said ;;
    esac
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

/// What was found where it was expected.
pub(crate) struct Tried {
    from: usize,
    counts: BTreeMap<Reached, usize>,
    /// Services that opened a connection, and to whom.
    opened: BTreeSet<(String, String)>,
}

impl Tried {
    /// How many were open, refused and not reached.
    pub(crate) fn told(&self) -> String {
        let counts = self.counts.iter();
        let counts: Vec<String> = counts
            .map(|(reached, count)| format!("{count} {reached}"))
            .collect();
        format!("from {} containers: {}", self.from, counts.join(", "))
    }

    /// Whether every address of every container was reached.
    pub(crate) fn reached_all(&self) -> bool {
        !self.counts.contains_key(&Reached::Not)
    }

    /// Who shares a network with the shop's own services and begins no flow, as a database, can call none of them: they bind
    /// no port there.
    pub(crate) fn keeps_stores_passive(&self, stack: &Stack) -> Result<()> {
        let sources: BTreeSet<&str> = flows(stack)?.map(|(from, _)| from).collect();
        let is_source = |service: &str| sources.contains(service);
        let mut opened = self.opened.iter();
        let wrong = opened.find(|(from, to)| !is_source(from) && is_source(to));
        ensure!(wrong.is_none(), "{wrong:?} is open");
        Ok(())
    }
}

/// Tries all.
pub(crate) async fn every_pair(stack: &Stack) -> Result<Tried> {
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
    let mut tried = Tried {
        from: hosts.len(),
        counts: BTreeMap::new(),
        opened: BTreeSet::new(),
    };
    let mut wrong = Vec::new();
    for some in hosts.chunks(AT_ONCE) {
        let dialling = some.iter().map(async |from| {
            let expected = expectations(from, &hosts, &ports);
            let found = dial(stack, from.container, &expected).await?;
            anyhow::Ok((from, expected, found))
        });
        for (from, expected, found) in try_join_all(dialling).await? {
            for (address, (to, expected)) in expected {
                let (ip, port) = address;
                let found = *found
                    .get(&address)
                    .with_context(|| format!("{ip}:{port} was not dialled"))?;
                if found != expected {
                    let (from, to) = (&from.container.name, &to.name);
                    wrong.push(format!(
                        "{from} -> {to} ({ip}:{port}): {found}, expected: {expected}"
                    ));
                }
                *tried.counts.entry(found).or_default() += 1;
                if found == Reached::Open {
                    let ends = (from.container.service.clone(), to.service.clone());
                    tried.opened.insert(ends);
                }
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(tried)
}

/// The flows of the file: from whom, and what is said of the targets.
fn flows(stack: &Stack) -> Result<impl Iterator<Item = (&str, &str)>> {
    let flows = stack.config["x-flows"].as_array().context("x-flows")?;
    let flows = flows.iter().filter_map(Value::as_str);
    let ends = flows.filter_map(|flow| flow.split_once("->"));
    Ok(ends.map(|(from, to)| (from.trim(), to)))
}

type Expected<'a> = BTreeMap<(Ipv4Addr, u16), (&'a Container, Reached)>;

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
                expected.insert((*address, *port), (to.container, reached));
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
        let targets = flows(stack)?
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
        "not" => Reached::Not,
        _ => anyhow::bail!("{line}"),
    };
    Ok(((address, port), reached))
}
