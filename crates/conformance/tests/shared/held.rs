//! How the kernel holds a container's first process: the user, rights, root and limits that the Compose file grants its service.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The user of our own images.
const NONROOT: &str = "65532";
/// Capabilities that the file grants, by the kernel's numbers (capability.h).
const CAPABILITIES: &[(&str, u32)] = &[
    ("CHOWN", 0),
    ("DAC_OVERRIDE", 1),
    ("FOWNER", 3),
    ("SETGID", 6),
    ("SETUID", 7),
];

/// Whether it is so. `no_new_privileges` cannot be had of a Swarm, which ignores `security_opt`.
///
/// # Errors
/// What is otherwise.
pub(crate) fn held(service: &Value, pid: u64, no_new_privileges: bool) -> Result<()> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| {
        let mut lines = status.lines();
        let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let words = line.unwrap_or_default().split_whitespace();
        words.collect::<Vec<_>>()
    };
    let users = [field("Uid"), field("Gid")].concat();
    if service["build"].is_null() {
        ensure!(!users.contains(&"0"), "runs as {users:?}");
    } else {
        ensure!(users == [NONROOT; 8], "runs as {users:?}");
    }
    let mut bounds = 0_u64;
    for name in words(&service["cap_add"]) {
        let mut all = CAPABILITIES.iter();
        let (_, number) = all
            .find(|(known, _)| *known == name)
            .with_context(|| format!("the number of {name}"))?;
        bounds |= 1 << number;
    }
    let bounds = format!("{bounds:016x}");
    let none = format!("{:016x}", 0);
    for (name, wanted) in [
        ("CapEff", none.as_str()),
        ("CapPrm", &none),
        ("CapBnd", &bounds),
        ("NoNewPrivs", if no_new_privileges { "1" } else { "0" }),
        ("Seccomp", "2"),
    ] {
        ensure!(field(name) == [wanted], "{name}: {:?}", field(name));
    }
    let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo"))?;
    let root = mounts
        .lines()
        .find(|line| line.split(' ').nth(4) == Some("/"));
    let options = root.and_then(|line| line.split(' ').nth(5));
    let options = options.unwrap_or_default();
    ensure!(
        options.split(',').any(|one| one == "ro"),
        "its root: {options}"
    );
    let (memory, cpus) = limit(&service["deploy"]["resources"]["limits"])?;
    let (held_memory, held_cpus) = group_limits(pid)?;
    ensure!(
        held_memory == memory && (held_cpus - cpus).abs() < 1e-3,
        "its control groups: {held_memory} bytes, {held_cpus} processors"
    );
    Ok(())
}

/// Bytes and processors of `deploy.resources.limits`.
pub(crate) fn limit(limits: &Value) -> Result<(u64, f64)> {
    let memory = limits["memory"].as_str().and_then(|text| text.parse().ok());
    let cpus = &limits["cpus"];
    let cpus = cpus.as_f64().or_else(|| cpus.as_str()?.parse().ok());
    memory
        .zip(cpus)
        .with_context(|| format!("limits: {limits}"))
}

pub(crate) fn words(value: &Value) -> Vec<String> {
    let words = value.as_array().into_iter().flatten();
    let words = words.filter_map(Value::as_str);
    let mut words: Vec<String> = words
        .map(|word| word.trim_start_matches("CAP_").to_owned())
        .collect();
    words.sort();
    words
}

/// What the process's control groups, of version 1 or 2, allow.
fn group_limits(pid: u64) -> Result<(u64, f64)> {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let group = |controller: &str| -> Option<PathBuf> {
        groups.lines().find_map(|line| {
            let [_, controllers, path] = line.splitn(3, ':').collect::<Vec<_>>()[..] else {
                return None;
            };
            let is = controllers.split(',').any(|one| one == controller);
            let base = Path::new("/sys/fs/cgroup").join(controller);
            is.then(|| base.join(path.trim_start_matches('/')))
        })
    };
    let read = |path: PathBuf| -> Result<String> {
        let shown = path.display().to_string();
        Ok(std::fs::read_to_string(path)
            .context(shown)?
            .trim()
            .to_owned())
    };
    if let (Some(memory), Some(cpu)) = (group("memory"), group("cpu")) {
        let quota: f64 = read(cpu.join("cpu.cfs_quota_us"))?.parse()?;
        let period: f64 = read(cpu.join("cpu.cfs_period_us"))?.parse()?;
        let bytes = read(memory.join("memory.limit_in_bytes"))?.parse()?;
        return Ok((bytes, quota / period));
    }
    let unified = group("").context("no control group")?;
    let max = read(unified.join("cpu.max"))?;
    let (quota, period) = max.split_once(' ').context("cpu.max")?;
    let bytes = read(unified.join("memory.max"))?.parse()?;
    Ok((bytes, quota.parse::<f64>()? / period.parse::<f64>()?))
}
