//! Processes of a lab, as the host sees them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::setting::Lab;

/// One line of `ps --json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instance {
    pub(crate) name: String,
    pub(crate) service: String,
    pub(crate) state: String,
    pub(crate) address: String,
    /// As the host numbers it; `None`: it does not run.
    pub(crate) pid: Option<i32>,
    pub(crate) restarts: u64,
}

/// The instances that have a network.
pub(crate) fn instances(status: &Value) -> Result<Vec<Instance>> {
    let text = |value: &Value, field: &str| {
        value[field]
            .as_str()
            .map(str::to_owned)
            .with_context(|| format!("{field} in {value}"))
    };
    let all = status["instances"].as_array().context("instances")?;
    let networked = all
        .iter()
        .filter(|instance| instance["address"].is_string());
    networked
        .map(|value| {
            Ok(Instance {
                name: text(value, "name")?,
                service: text(value, "service")?,
                state: text(value, "state")?,
                address: text(value, "address")?,
                pid: value["pid"].as_i64().map(i32::try_from).transpose()?,
                restarts: value["restarts"].as_u64().context("restarts")?,
            })
        })
        .collect()
}

impl Lab<'_> {
    pub(crate) async fn instances(&self) -> Result<Vec<Instance>> {
        instances(&self.status().await?)
    }

    pub(crate) async fn instance(&self, name: &str) -> Result<Instance> {
        let all = self.instances().await?;
        all.into_iter()
            .find(|instance| instance.name == name)
            .with_context(|| format!("no instance {name}"))
    }

    /// The lab's first process, as the host numbers it.
    pub(crate) async fn first_process(&self) -> Result<i32> {
        Ok(i32::try_from(
            self.status().await?["pid"]
                .as_i64()
                .context("the lab's pid")?,
        )?)
    }
}

pub(crate) fn kill_process(pid: i32) -> Result<()> {
    Ok(kill(Pid::from_raw(pid), Signal::SIGKILL)?)
}

/// Sends a signal to the program that an instance runs.
pub(crate) fn signal_process(instance: &Instance, signal: Signal) -> Result<()> {
    let pid = instance
        .pid
        .with_context(|| format!("{} does not run", instance.name))?;
    Ok(kill(Pid::from_raw(pid), signal)?)
}

/// The IPv6 link-local address of a namespace's interface, which the kernel gives every one, and that interface's index
/// (`/proc/net/if_inet6`); `None` where IPv6 is switched off. Waits until the address may be used: for about a second after
/// the link is up, the kernel asks whether somebody else has it (RFC 4862, section 5.4), and dials nothing from it.
pub(crate) async fn link_local(
    first_process: i32,
    namespace: &Path,
) -> Result<Option<(Ipv6Addr, u32)>> {
    let mut command = Command::new("cat");
    command.arg("/proc/net/if_inet6");
    test_support::eventually("the link-local address may be used", || async {
        let output = enter(first_process, namespace, &command)?;
        settled(&String::from_utf8(output.stdout)?)
    })
    .await
    .with_context(|| namespace.display().to_string())
}

/// The link-local address in a namespace's table; an error while there is none that may be used.
fn settled(table: &str) -> Result<Option<(Ipv6Addr, u32)>> {
    /// `IFA_F_TENTATIVE` of linux/if_addr.h.
    const TENTATIVE: u32 = 0x40;
    if table.is_empty() {
        return Ok(None);
    }
    let line = table.lines().find(|line| line.starts_with("fe80"));
    // Address, interface, length of the prefix, scope, flags, the interface's name; numbers in hexadecimal.
    let fields: Vec<&str> = line.unwrap_or_default().split_whitespace().collect();
    let [address, interface, _, _, flags, _] = fields[..] else {
        anyhow::bail!("no link-local address in {table:?}");
    };
    ensure!(
        u32::from_str_radix(flags, 16)? & TENTATIVE == 0,
        "still tentative: {table:?}"
    );
    Ok(Some((
        u128::from_str_radix(address, 16)?.into(),
        u32::from_str_radix(interface, 16)?,
    )))
}

/// Resident memory in bytes (`VmRSS`).
pub(crate) fn resident(pid: i32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

/// Insists that a process leads a session, and has no terminal: its line in `/proc` (`proc_pid_stat(5)`, fields 1, 6 and 7).
pub(crate) fn leads_a_session_without_terminal(stat: &str) -> Result<()> {
    let pid = stat.split_whitespace().next().context("a number")?;
    let (_, rest) = stat.rsplit_once(')').context("a name")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    ensure!(
        fields.get(3) == Some(&pid) && fields.get(4) == Some(&"0"),
        "in somebody else's session, or with a terminal: {stat}"
    );
    Ok(())
}

/// A process that is told from a later one with the same number by its start time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    started: String,
    pub(crate) name: String,
}

impl Process {
    /// What stays the same while it is there, whatever it executes.
    pub(crate) fn identity(&self) -> (i32, String) {
        (self.pid, self.started.clone())
    }
}

/// Every process of this machine with its parent, but for zombies.
pub(crate) fn all_processes() -> Result<BTreeMap<i32, (Process, i32)>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
            continue;
        };
        // "pid (name) state parent ... starttime": proc_pid_stat(5); the name may hold anything.
        let Some((name, rest)) = stat.rsplit_once(')') else {
            continue;
        };
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let (Some(state), Some(Ok(parent)), Some(started)) = (
            fields.first(),
            fields.get(1).map(|f| f.parse()),
            fields.get(19),
        ) else {
            continue;
        };
        if *state != "Z" && *state != "X" {
            let name = name.split_once('(').map_or("", |(_, name)| name).to_owned();
            all.insert(
                pid,
                (
                    Process {
                        pid,
                        started: (*started).to_owned(),
                        name,
                    },
                    parent,
                ),
            );
        }
    }
    Ok(all)
}

/// A process and everything that descends from it.
pub(crate) fn descendants(of: i32) -> Result<BTreeSet<Process>> {
    let all = all_processes()?;
    let is_below = |mut pid: i32| loop {
        match all.get(&pid) {
            _ if pid == of => return true,
            Some((_, parent)) => pid = *parent,
            None => return false,
        }
    };
    Ok(all
        .iter()
        .filter(|(pid, _)| is_below(**pid))
        .map(|(_, (process, _))| process.clone())
        .collect())
}

/// Those of `processes` that still run.
pub(crate) fn still_running(processes: &BTreeSet<Process>) -> Result<Vec<Process>> {
    let all = all_processes()?;
    Ok(processes
        .iter()
        .filter(|process| {
            all.get(&process.pid)
                .is_some_and(|(now, _)| now == *process)
        })
        .cloned()
        .collect())
}

/// Copies of the launcher of the lab with this state folder, as its first process is one: the environment names the folder's base,
/// the command line the project. This test's own children are left out.
pub(crate) fn naming(state: &Path) -> Result<Vec<Process>> {
    let (base, project) = state
        .parent()
        .zip(state.file_name())
        .context("a state folder")?;
    let (base, project) = (base.as_os_str().as_bytes(), project.as_bytes());
    let own = descendants(i32::try_from(std::process::id())?)?;
    let mentions = |pid: i32, file: &str, wanted: &[u8]| {
        let text = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        text.split(|byte| *byte == 0)
            .any(|word| word.ends_with(wanted))
    };
    let all = all_processes()?.into_values().map(|(process, _)| process);
    Ok(all
        .filter(|process| {
            !own.contains(process)
                && mentions(process.pid, "cmdline", project)
                && mentions(process.pid, "environ", base)
        })
        .collect())
}

/// The network namespaces that a lab's first process holds open.
pub(crate) fn namespaces(first_process: i32) -> Result<Vec<PathBuf>> {
    let mut seen = BTreeMap::new();
    for entry in std::fs::read_dir(format!("/proc/{first_process}/fd"))? {
        let path = entry?.path();
        if let Ok(target) = std::fs::read_link(&path)
            && target.to_string_lossy().starts_with("net:[")
        {
            seen.insert(target, path);
        }
    }
    ensure!(
        !seen.is_empty(),
        "process {first_process} holds no network namespace"
    );
    Ok(seen.into_values().collect())
}

/// Runs `command` in a network namespace of the lab whose first process is given, as the owner of both.
pub(crate) fn enter(first_process: i32, namespace: &Path, command: &Command) -> Result<Output> {
    let mut entered = Command::new("nsenter");
    entered
        .arg(format!("--user=/proc/{first_process}/ns/user"))
        .arg(format!("--net={}", namespace.display()))
        .args(["--preserve-credentials", "--"])
        .arg(command.get_program())
        .args(command.get_args())
        .envs(
            command
                .get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        );
    entered
        .output()
        .context("starting nsenter (Debian's util-linux)")
}
