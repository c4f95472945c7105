//! Who should reach whom on Docker's networks, and whether it is so: from every container every port of every other.
//!
//! Docker knows membership of networks, not `x-flows`. What is to be expected is computed from the Compose file: who shares a
//! network reaches every port that is bound on it, and is refused on others by the host itself; who shares none gets no answer.
//! How a connection is tried is the caller's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use ipnet::Ipv4Net;
use serde_json::Value;

/// Bound by nobody: who is reached refuses it.
const UNUSED: u16 = 22;
/// Members that dial at the same time, some eighty targets each.
const AT_ONCE: usize = 2;

/// An address and a port.
pub(crate) type Target = (Ipv4Addr, u16);
pub(crate) type Dialled = BTreeMap<Target, Reached>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reached {
    /// A connection.
    Open,
    /// The container was reached, and says that nothing listens there.
    Refused,
    /// No way there, or no answer.
    Not,
}

impl Reached {
    /// How many seconds are given to what should come to this: to an answer many, since a busy machine needs a few.
    pub(crate) fn patience(self) -> u8 {
        match self {
            Self::Open | Self::Refused => 30,
            Self::Not => 1,
        }
    }
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
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) service: String,
    /// The networks that the file gives its service, with its address on each.
    pub(crate) addresses: BTreeMap<String, Ipv4Addr>,
    listens: Vec<(Where, u16)>,
}

/// Where a port is bound.
enum Where {
    Everywhere,
    In(Ipv4Net),
}

impl Member {
    /// The file's word on a container of a service; that Docker has attached it to just the networks of the file is checked by the
    /// way. `attached` is what `docker inspect` calls `NetworkSettings.Networks`, by the names that `called` gives the file's.
    pub(crate) fn new(
        config: &Value,
        name: &str,
        service: &str,
        attached: &Value,
        called: impl Fn(&str) -> Result<String>,
    ) -> Result<Self> {
        let declared = config["services"][service]["networks"].as_object();
        let attached = attached.as_object().context("Networks")?;
        let mut addresses = BTreeMap::new();
        for network in declared.context("networks")?.keys() {
            let address = attached.get(&called(network)?);
            let address = address.and_then(|network| network["IPAddress"].as_str());
            let address =
                address.with_context(|| format!("{name} is not attached to {network}"))?;
            addresses.insert(network.clone(), address.parse()?);
        }
        ensure!(
            attached.len() == addresses.len(),
            "{name} is attached to {:?}",
            attached.keys()
        );
        Ok(Self {
            name: name.to_owned(),
            service: service.to_owned(),
            addresses,
            listens: listens(config, service)?,
        })
    }

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

    /// How many tries came to this.
    pub(crate) fn count(&self, reached: Reached) -> usize {
        self.counts.get(&reached).copied().unwrap_or_default()
    }

    /// Who shares a network with the shop's own services and begins no flow, as a database, can call none of them: they bind
    /// no port there.
    pub(crate) fn keeps_stores_passive(&self, config: &Value) -> Result<()> {
        let sources: BTreeSet<&str> = flows(config)?.map(|(from, _)| from).collect();
        let is_source = |service: &str| sources.contains(service);
        let mut opened = self.opened.iter();
        let wrong = opened.find(|(from, to)| !is_source(from) && is_source(to));
        ensure!(wrong.is_none(), "{wrong:?} is open");
        Ok(())
    }
}

/// Tries all, by `dial`: from a member to targets, each with what is expected of it.
pub(crate) async fn every_pair(
    members: &[Member],
    dial: impl AsyncFn(&Member, Vec<(Target, Reached)>) -> Result<Dialled>,
) -> Result<Tried> {
    let bound = members.iter().flat_map(|member| &member.listens);
    let mut ports: BTreeSet<u16> = bound.map(|(_, port)| *port).collect();
    ports.insert(UNUSED);
    let mut tried = Tried {
        from: members.len(),
        counts: BTreeMap::new(),
        opened: BTreeSet::new(),
    };
    let mut wrong = Vec::new();
    for some in members.chunks(AT_ONCE) {
        let dialling = some.iter().map(async |from| {
            let expected = expectations(from, members, &ports);
            let targets = expected
                .iter()
                .map(|(target, (_, reached))| (*target, *reached));
            let found = dial(from, targets.collect()).await?;
            anyhow::Ok((from, expected, found))
        });
        for (from, expected, found) in try_join_all(dialling).await? {
            for (target, (to, expected)) in expected {
                let (ip, port) = target;
                let found = *found
                    .get(&target)
                    .with_context(|| format!("{ip}:{port} was not dialled"))?;
                if found != expected {
                    wrong.push(format!(
                        "{} -> {} ({ip}:{port}): {found}, expected: {expected}",
                        from.name, to.name
                    ));
                }
                *tried.counts.entry(found).or_default() += 1;
                if found == Reached::Open {
                    let ends = (from.service.clone(), to.service.clone());
                    tried.opened.insert(ends);
                }
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(tried)
}

/// The flows of the file: from whom, and what is said of the targets.
fn flows(config: &Value) -> Result<impl Iterator<Item = (&str, &str)>> {
    let flows = config["x-flows"].as_array().context("x-flows")?;
    let flows = flows.iter().filter_map(Value::as_str);
    let ends = flows.filter_map(|flow| flow.split_once("->"));
    Ok(ends.map(|(from, to)| (from.trim(), to)))
}

type Expected<'a> = BTreeMap<Target, (&'a Member, Reached)>;

fn expectations<'a>(from: &Member, all: &'a [Member], ports: &BTreeSet<u16>) -> Expected<'a> {
    let others = all.iter().filter(|to| to.name != from.name);
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
                expected.insert((*address, *port), (to, reached));
            }
        }
    }
    expected
}

/// What a service binds: what its environment says (`..LISTEN: address:port, ...`), or, of a server that is not ours and binds
/// everywhere, the ports that `x-flows` names.
fn listens(config: &Value, service: &str) -> Result<Vec<(Where, u16)>> {
    let environment = &config["services"][service]["environment"];
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
        let targets = flows(config)?
            .flat_map(|(_, to)| to.split(','))
            .filter_map(|to| to.trim().split_once(':'));
        for (_, port) in targets.filter(|(to, _)| *to == service) {
            listens.push((Where::Everywhere, port.parse()?));
        }
    }
    ensure!(!listens.is_empty(), "nobody says what {service} listens on");
    Ok(listens)
}
