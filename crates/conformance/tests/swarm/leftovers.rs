//! What a rehearsal has on this machine, by what the kernel says.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::rehearsal::Rehearsal;

/// By kind, what there is.
pub(crate) struct Leftovers(pub(crate) BTreeMap<&'static str, Vec<String>>);

impl Leftovers {
    pub(crate) fn of(rehearsal: &Rehearsal) -> Result<Self> {
        let name = &rehearsal.name;
        let ours = format!("underlay-{name}-");
        let state = rehearsal.state().display().to_string();
        let mut found = BTreeMap::new();
        found.insert(
            "namespaces",
            entries("/run/netns")
                .into_iter()
                .filter(|entry| entry.starts_with(&ours))
                .collect(),
        );
        found.insert("files", entries(&state));
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        found.insert("mounts", lines(&mounts, &[&state, &ours]));
        // Engines and their helpers name the folder or a namespace of theirs in what they were started with.
        found.insert(
            "processes",
            entries("/proc")
                .into_iter()
                .filter(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()))
                .filter(|pid| *pid != std::process::id().to_string())
                .filter_map(|pid| {
                    let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
                    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
                    let words = String::from_utf8_lossy(&words).replace('\0', " ");
                    let group = format!("/underlay-swarm/{name}/");
                    (words.contains(&state) || groups.contains(&group))
                        .then(|| format!("{pid} {words}"))
                })
                .collect(),
        );
        let mut groups = Vec::new();
        for root in entries("/sys/fs/cgroup") {
            for place in [
                format!("/sys/fs/cgroup/{root}/underlay-swarm/{name}"),
                format!("/sys/fs/cgroup/underlay-swarm/{name}"),
            ] {
                if Path::new(&place).exists() && !groups.contains(&place) {
                    groups.push(place);
                }
            }
        }
        found.insert("control groups", groups);
        let links = entries("/sys/class/net");
        let peers = links.into_iter().filter(|link| {
            let alias = fs::read_to_string(format!("/sys/class/net/{link}/ifalias"));
            alias.is_ok_and(|alias| alias.trim() == format!("underlay-swarm {name}"))
        });
        found.insert("links", peers.collect());
        Ok(Self(found))
    }
}

impl Display for Leftovers {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (kind, found) in &self.0 {
            writeln!(f, "{kind}: {found:?}")?;
        }
        Ok(())
    }
}

fn entries(folder: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
    names
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

fn lines(text: &str, wanted: &[&str]) -> Vec<String> {
    text.lines()
        .filter(|line| wanted.iter().any(|wanted| line.contains(wanted)))
        .map(str::to_owned)
        .collect()
}
