//! Every container sees its own secrets and nobody else's, and none is told where others could read it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use serde_json::Value;

use crate::docker::{said, try_docker};
use crate::stack::{Container, Stack};

/// Where a container finds its secrets.
const AT: &str = "/run/secrets";
const LIST: &str =
    "cd /run/secrets 2>/dev/null || exit 0; for file in $(ls -A); do echo \"$file\"; done";
/// The mint's own volume.
const MASTER: &str = "secrets-master";
const VALUES: &str = "cd /master; for file in *; do echo \"$file $(tr -d '\\n' <\"$file\")\"; done";

/// What the file says that each volume holds (`x-swarm.secrets`, which the Swarm file is made from).
fn files_of(stack: &Stack) -> Result<BTreeMap<&str, BTreeSet<&str>>> {
    let secrets = stack.config["x-swarm"]["secrets"].as_object();
    let mut volumes = BTreeMap::new();
    for (volume, said) in secrets.context("x-swarm.secrets")? {
        let files = said["files"].as_array().context("files")?;
        let names = files.iter().filter_map(Value::as_str);
        // SECRET, or SECRET:FILE where the file has another name.
        let names = names.map(|name| name.rsplit(':').next().unwrap_or(name));
        volumes.insert(volume.as_str(), names.collect());
    }
    Ok(volumes)
}

/// The volume that the file mounts there for a service.
fn volume_of<'a>(stack: &'a Stack, service: &str) -> Option<&'a str> {
    let mounts = stack.config["services"][service]["volumes"].as_array()?;
    let mount = mounts.iter().find(|mount| mount["target"] == AT)?;
    mount["source"].as_str()
}

/// Looks with each container's eyes.
pub(crate) async fn are_apart(stack: &Stack) -> Result<String> {
    let volumes = files_of(stack)?;
    let running = stack.running().await?;
    let looks = running
        .iter()
        .map(|container| sees_its_own(stack, container, &volumes));
    let seen: usize = try_join_all(looks).await?.iter().sum();
    ensure!(seen > 0, "nobody has a secret");
    untold(stack).await?;
    Ok(format!("{seen} files"))
}

/// How many files it sees: those of the volume that bears its name, and they are read-only.
async fn sees_its_own(
    stack: &Stack,
    container: &Container,
    volumes: &BTreeMap<&str, BTreeSet<&str>>,
) -> Result<usize> {
    let expected = match volume_of(stack, &container.service) {
        Some(volume) => {
            let owner = volume.trim_start_matches("secrets-");
            ensure!(
                container.service.contains(owner),
                "{} is given {volume}",
                container.name
            );
            volumes.get(volume).context(volume.to_owned())?
        }
        None => &BTreeSet::new(),
    };
    let volumes_from = format!("{}:ro", container.id);
    let joins = ["--network", "none", "--volumes-from", &volumes_from];
    let listed = stack.inside(&joins, LIST, &[]).await?;
    let listed: BTreeSet<&str> = listed.lines().collect();
    ensure!(
        listed == *expected,
        "{} sees {listed:?}, its own are {expected:?}",
        container.name
    );
    mounts_no_other(stack, container)?;
    Ok(listed.len())
}

/// Neither the mint's volume nor another's is in reach under any other path.
fn mounts_no_other(stack: &Stack, container: &Container) -> Result<()> {
    let own = volume_of(stack, &container.service);
    for mount in container.state["Mounts"].as_array().into_iter().flatten() {
        let name = mount["Name"].as_str().unwrap_or_default();
        let volume = name.trim_start_matches(&format!("{}_", stack.name));
        let is_own = own == Some(volume) && mount["RW"] == false;
        ensure!(
            !volume.starts_with("secrets-") || is_own,
            "{} mounts {mount}",
            container.name
        );
        ensure!(
            mount["Source"] != "/var/run/docker.sock",
            "{} has the engine's socket",
            container.name
        );
    }
    Ok(())
}

/// What the mint has minted, by its names; without the file that is made of hashes.
pub(crate) async fn minted(stack: &Stack) -> Result<BTreeMap<String, String>> {
    let volume = format!("{}_{MASTER}:/master:ro", stack.name);
    let values = stack
        .inside(&["--network", "none", "--volume", &volume], VALUES, &[])
        .await?;
    let values = values.lines().filter_map(|line| line.split_once(' '));
    Ok(values
        .filter(|(_, value)| value.len() == 64) // 32 bytes in hex
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

/// No secret is in a container's settings, which `docker inspect` shows to all, or in a log.
async fn untold(stack: &Stack) -> Result<()> {
    let values = minted(stack).await?;
    ensure!(
        values.len() >= 9,
        "only {} secrets were minted",
        values.len()
    );
    for container in stack.containers().await? {
        let logs = try_docker(&["logs", &container.id]).await?;
        let log = said(&logs); // on both streams
        ensure!(logs.status.success(), "{}: {log}", container.name);
        let settings = container.state.to_string();
        for (name, value) in &values {
            ensure!(!settings.contains(value), "{} shows {name}", container.name);
            ensure!(!log.contains(value), "{} has logged {name}", container.name);
        }
    }
    Ok(())
}
