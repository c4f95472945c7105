//! What of this machine a lab could leave traces in, told by the kernel's own tools.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use netns_setup::plan::link_name;
use serde_json::Value;

use crate::groups::own_groups;
use crate::instance::{Process, naming, still_running};
use crate::setting::said;

/// Links, rules, mounts and namespace names of the host, and how many there are of each: what is mounted twice looks the same twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    things: BTreeMap<String, usize>,
}

impl Snapshot {
    pub(crate) fn take() -> Result<Self> {
        let mut things = Vec::new();
        for link in json(Command::new("ip").args(["-j", "link"]))?
            .as_array()
            .context("ip -j link")?
        {
            // Uplinks of other labs that root runs come and go; this lab's own is looked for by its name below.
            let name = link["ifname"].as_str().context("ifname")?;
            let is_anothers = is_an_engines_link(name) || name.starts_with("uswarm");
            if !name.starts_with("ul-") && !is_anothers {
                things.push(format!("link {name}"));
            }
        }
        // An ordinary user may not list rules, nor could such a user have made one.
        if nix::unistd::Uid::effective().is_root() {
            let rules = json(Command::new("nft").args(["-s", "-j", "list", "ruleset"]))?;
            things.extend(
                rules["nftables"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter(|rule| !is_an_engines_rule(rule))
                    .map(|rule| format!("rule {rule}")),
            );
        }
        things.extend(
            std::fs::read_to_string("/proc/mounts")?
                .lines()
                .filter(|mount| !is_an_engines_mount(mount))
                .map(|mount| format!("mount {mount}")),
        );
        for entry in std::fs::read_dir("/run/netns").into_iter().flatten() {
            let entry = entry?;
            // The hosts of a rehearsed Swarm, which come and go like their bridge above.
            if !entry.file_name().to_string_lossy().starts_with("underlay-") {
                things.push(format!("name {}", entry.path().display()));
            }
        }
        let mut counted = BTreeMap::new();
        for thing in things {
            *counted.entry(thing).or_default() += 1;
        }
        Ok(Self { things: counted })
    }

    /// Waits until nothing is there that was not there before, and no process of the lab is left.
    pub(crate) async fn is_all_there_is(
        &self,
        processes: &BTreeSet<Process>,
        state: &Path,
    ) -> Result<()> {
        test_support::eventually("nothing is left behind", || async {
            let mut added = Self::take()?.things;
            added.retain(|thing, count| *count > self.things.get(thing).copied().unwrap_or(0));
            ensure!(added.is_empty(), "left behind: {added:#?}");
            let project = state.file_name().context("a project's folder")?;
            let uplink = link_name(&project.to_string_lossy(), &state.to_string_lossy());
            let folder = Path::new("/sys/class/net").join(&uplink);
            ensure!(!folder.exists(), "left behind: {uplink}");
            // Groups, too, of other labs come and go.
            let groups = own_groups(state);
            ensure!(groups.is_empty(), "left behind: {groups:#?}");
            let running = still_running(processes)?;
            ensure!(running.is_empty(), "still running: {running:#?}");
            let naming = naming(state)?;
            ensure!(
                naming.is_empty(),
                "processes of its launcher's: {naming:#?}"
            );
            Ok(())
        })
        .await
    }
}

/// Containers of a Docker engine on this machine come and go at any moment: its bridges and veth pairs are named by it alone,
fn is_an_engines_link(name: &str) -> bool {
    let numbered = |prefix: &str, digits: usize| {
        name.strip_prefix(prefix).is_some_and(|rest| {
            rest.len() == digits && rest.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    };
    numbered("br-", 12) || numbered("veth", 7) || name.starts_with("docker")
}

/// its rules are in the tables of iptables, which a lab does not use,
fn is_an_engines_rule(object: &Value) -> bool {
    let inner = object.as_object().and_then(|kinds| kinds.values().next());
    inner.is_some_and(|inner| {
        let table = inner["table"].as_str().or(inner["name"].as_str());
        ["ip", "ip6"].contains(&inner["family"].as_str().unwrap_or_default())
            && table.is_some_and(|table| ["filter", "nat", "raw", "mangle"].contains(&table))
    })
}

/// and its mounts are layers of images and the namespaces that it holds.
fn is_an_engines_mount(mount: &str) -> bool {
    let mut fields = mount.split(' ').skip(1);
    let (at, kind) = (fields.next().unwrap_or_default(), fields.next());
    kind == Some("overlay")
        || ["/var/lib/docker/", "/run/docker/", "/run/netns/underlay-"]
            .iter()
            .any(|folder| at.starts_with(folder))
}

fn json(command: &mut Command) -> Result<Value> {
    let output = command
        .output()
        .with_context(|| format!("{command:?}: apt-get install --yes iproute2 nftables"))?;
    ensure!(output.status.success(), "{command:?}: {}", said(&output));
    Ok(serde_json::from_slice(&output.stdout)?)
}
