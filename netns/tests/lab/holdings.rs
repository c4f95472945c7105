//! What only the kernel keeps of a lab: namespaces and sockets, which have no name on the host and live for as long as anybody holds them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::instance::{Process, all_processes, descendants};

/// The namespaces that every process has (`namespaces(7)`).
const KINDS: [&str; 6] = ["user", "mnt", "pid", "net", "ipc", "uts"];

/// The processes of a lab, and the kernel's objects that they hold.
#[derive(Debug)]
pub(crate) struct Holdings {
    pub(crate) processes: BTreeSet<Process>,
    /// As links in `/proc` name them: `net:[4026532008]`.
    namespaces: BTreeSet<String>,
    /// As links in `/proc` name them: `socket:[12345]`.
    sockets: BTreeSet<String>,
    /// Every process of the machine at that time.
    there: BTreeSet<(i32, String)>,
}

impl Holdings {
    /// Of the lab whose first process this is.
    pub(crate) fn of(first_process: i32) -> Result<Self> {
        let own: BTreeSet<String> = held_by(i32::try_from(std::process::id())?).collect();
        let processes = descendants(first_process)?;
        let (sockets, others): (BTreeSet<String>, BTreeSet<String>) = processes
            .iter()
            .flat_map(|process| held_by(process.pid))
            .filter(|object| !own.contains(object))
            .partition(|object| object.starts_with("socket:"));
        let is_namespace = |object: &String| {
            KINDS
                .iter()
                .any(|kind| object.starts_with(&format!("{kind}:[")))
        };
        Ok(Self {
            processes,
            namespaces: others.into_iter().filter(is_namespace).collect(),
            sockets,
            there: all_processes()?
                .into_values()
                .map(|(process, _)| process.identity())
                .collect(),
        })
    }

    /// How many namespaces these are.
    pub(crate) fn namespaces(&self) -> usize {
        self.namespaces.len()
    }

    /// Waits until nobody holds any of it.
    ///
    /// The kernel gives a namespace's number out anew as soon as it is free, to whatever lab is brought up beside this test next. So
    /// only processes count that were there when the lab was looked at: those that have begun since can have got nothing from it but by
    /// one of them. The number of a socket comes from a counter and does not come again.
    pub(crate) async fn are_gone(&self) -> Result<()> {
        test_support::eventually("nobody holds what was the lab's", || async {
            let mut left = Vec::new();
            let now = all_processes()?.into_values().map(|(process, _)| process);
            for process in now.filter(|process| self.there.contains(&process.identity())) {
                let held = held_by(process.pid).filter(|object| self.namespaces.contains(object));
                left.extend(held.map(|object| format!("{object}, held by {process:?}")));
            }
            ensure!(left.is_empty(), "namespaces: {left:#?}");
            for table in ["unix", "tcp", "tcp6", "udp", "netlink"] {
                let path = Path::new("/proc/net").join(table);
                let text = std::fs::read_to_string(path).unwrap_or_default();
                let words = text
                    .lines()
                    .flat_map(|line| line.split_whitespace())
                    .map(|word| format!("socket:[{word}]"));
                left.extend(words.filter(|word| self.sockets.contains(word)));
            }
            ensure!(left.is_empty(), "sockets of the host: {left:#?}");
            Ok(())
        })
        .await
    }
}

/// Insists that no two of these processes share a namespace of any kind.
pub(crate) fn are_apart(processes: &[i32]) -> Result<()> {
    for kind in KINDS {
        let mut inhabited = BTreeMap::new();
        for pid in processes {
            let namespace = std::fs::read_link(format!("/proc/{pid}/ns/{kind}"))
                .with_context(|| format!("the {kind} namespace of process {pid}"))?;
            if let Some(other) = inhabited.insert(namespace, pid) {
                bail!("processes {other} and {pid} share their {kind} namespace");
            }
        }
    }
    Ok(())
}

/// What a process has open or lives in, as its links in `/proc` name it; nothing of one that is gone or another user's.
fn held_by(pid: i32) -> impl Iterator<Item = String> {
    let namespaces = KINDS
        .into_iter()
        .map(move |kind| format!("/proc/{pid}/ns/{kind}").into());
    let open = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()));
    namespaces
        .chain(open)
        .filter_map(|link: std::path::PathBuf| {
            Some(std::fs::read_link(link).ok()?.to_str()?.to_owned())
        })
}
