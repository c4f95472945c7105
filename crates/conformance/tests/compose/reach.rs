//! Who can reach whom in a stack, by real connections from its containers' networks.

use std::collections::HashMap;

use anyhow::{Context, Result};

use crate::members::{self, Dialled, Member, Reached, Target, Tried};
use crate::stack::{Container, Stack};

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

/// Tries all.
pub(crate) async fn every_pair(stack: &Stack) -> Result<Tried> {
    let containers = stack.running().await?;
    let called = |network: &str| {
        let name = stack.config["networks"][network]["name"].as_str();
        Ok(name.context("the network's name")?.to_owned())
    };
    let member = |Container {
                      name,
                      service,
                      state,
                      ..
                  }: &Container| {
        let attached = &state["NetworkSettings"]["Networks"];
        Member::new(&stack.config, name, service, attached, called)
    };
    let members: Vec<Member> = containers.iter().map(member).collect::<Result<_>>()?;
    let ids: HashMap<&str, &str> = containers
        .iter()
        .map(|container| (container.name.as_str(), container.id.as_str()))
        .collect();
    let dial = async |from: &Member, targets: Vec<(Target, Reached)>| {
        dial(stack, ids[from.name.as_str()], &targets).await
    };
    members::every_pair(&members, dial).await
}

/// Dials from inside a container's network.
async fn dial(stack: &Stack, id: &str, targets: &[(Target, Reached)]) -> Result<Dialled> {
    let targets: Vec<String> = targets
        .iter()
        .map(|((address, port), expected)| format!("{address}:{port}={}", expected.patience()))
        .collect();
    let network = format!("container:{id}");
    let said = stack
        .inside(&["--network", &network], DIAL, &targets)
        .await?;
    said.lines().map(reading).collect()
}

fn reading(line: &str) -> Result<(Target, Reached)> {
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
