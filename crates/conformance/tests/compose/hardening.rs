//! What the file takes away from each container and how much it grants, as the engine notes it and as the kernel holds it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::stack::{Container, Stack};

/// The user of our own images.
const NONROOT: &str = "65532";
/// The one container that starts as root, and gets capabilities back: its entrypoint owns the folder to its user, and steps down.
const STEPS_DOWN: &str = "postgres";
/// Those capabilities, by the kernel's numbers (capability.h).
const CAPABILITIES: &[(&str, u32)] = &[
    ("CHOWN", 0),
    ("DAC_OVERRIDE", 1),
    ("FOWNER", 3),
    ("SETGID", 6),
    ("SETUID", 7),
];

/// `docker inspect` agrees with the file.
pub(crate) async fn noted(stack: &Stack) -> Result<()> {
    for container in stack.containers().await? {
        let service = &stack.config["services"][&container.service];
        agrees(service, &container.state)
            .and_then(|()| steps_down(service, &container))
            .with_context(|| format!("the engine's note of {}", container.name))?;
    }
    Ok(())
}

fn agrees(service: &Value, state: &Value) -> Result<()> {
    let noted = &state["HostConfig"];
    for (key, wanted) in [
        ("ReadonlyRootfs", json!(true)),
        ("Privileged", json!(false)),
        ("PublishAllPorts", json!(false)),
        ("PidMode", json!("")),
        ("UsernsMode", json!("")),
        ("Devices", Value::Null),
    ] {
        ensure!(noted[key] == wanted, "{key}: {}", noted[key]);
    }
    ensure!(service["read_only"] == true, "the file: not read_only");
    for (key, field) in [("CapDrop", "cap_drop"), ("CapAdd", "cap_add")] {
        let (noted, wanted) = (words(&noted[key]), words(&service[field]));
        ensure!(noted == wanted, "{key}: {noted:?}, not {wanted:?}");
    }
    ensure!(words(&noted["CapDrop"]) == ["ALL"], "keeps capabilities");
    let options = words(&noted["SecurityOpt"]);
    ensure!(
        options
            .iter()
            .any(|one| one.starts_with("no-new-privileges")),
        "SecurityOpt: {options:?}"
    );
    ensure!(
        noted["RestartPolicy"]["Name"] == service["restart"],
        "RestartPolicy: {}",
        noted["RestartPolicy"]
    );
    let log = &noted["LogConfig"];
    ensure!(
        log["Type"] == service["logging"]["driver"]
            && log["Config"] == service["logging"]["options"],
        "LogConfig: {log}"
    );
    let tmpfs = noted["Tmpfs"].as_object().into_iter().flatten();
    let tmpfs: Vec<&String> = tmpfs.map(|(path, _)| path).collect();
    let mut wanted = words(&service["tmpfs"]);
    wanted.sort();
    ensure!(
        tmpfs == wanted.iter().collect::<Vec<_>>(),
        "Tmpfs: {tmpfs:?}"
    );
    let limits = &service["deploy"]["resources"]["limits"];
    if limits.is_object() {
        let (memory, cpus) = limit(limits)?;
        ensure!(noted["Memory"] == memory, "Memory: {}", noted["Memory"]);
        let nanos = noted["NanoCpus"].as_f64().unwrap_or_default();
        ensure!((nanos / 1e9 - cpus).abs() < 1e-6, "NanoCpus: {nanos}");
    }
    let grace = service["stop_grace_period"].as_str();
    let noted = state["Config"]["StopTimeout"].as_u64();
    if let Some(grace) = grace {
        let seconds = grace.strip_suffix('s').and_then(|text| text.parse().ok());
        ensure!(
            noted.is_some() && noted == seconds,
            "StopTimeout: {noted:?}, not {grace}"
        );
    }
    Ok(())
}

/// Whether it may is the file's word, not the image's: `redis:8-alpine` starts as root where the file names no user, and for
/// stepping down its entrypoint wants more capabilities than it keeps; the stand-in starts as `redis`.
fn steps_down(service: &Value, container: &Container) -> Result<()> {
    let granted = words(&service["cap_add"]);
    if container.service == STEPS_DOWN {
        return Ok(());
    }
    ensure!(granted.is_empty(), "the file grants it {granted:?}");
    let serves = container.state["State"]["Running"] == true; // the mint has ended
    let user = &container.state["Config"]["User"];
    ensure!(
        !serves || !service["build"].is_null() || (user.is_string() && *user == service["user"]),
        "starts as {user}, the file says {}",
        service["user"]
    );
    Ok(())
}

/// Bytes and processors of `deploy.resources.limits`.
fn limit(limits: &Value) -> Result<(u64, f64)> {
    let memory = limits["memory"].as_str().and_then(|text| text.parse().ok());
    let cpus = &limits["cpus"];
    let cpus = cpus.as_f64().or_else(|| cpus.as_str()?.parse().ok());
    memory
        .zip(cpus)
        .with_context(|| format!("limits: {limits}"))
}

fn words(value: &Value) -> Vec<String> {
    let words = value.as_array().into_iter().flatten();
    let words = words.filter_map(Value::as_str);
    let mut words: Vec<String> = words
        .map(|word| word.trim_start_matches("CAP_").to_owned())
        .collect();
    words.sort();
    words
}

/// The kernel holds the first process of every container to it.
pub(crate) async fn enforced(stack: &Stack) -> Result<()> {
    for container in stack.running().await? {
        let service = &stack.config["services"][&container.service];
        let pid = container.pid()?;
        ensure!(
            Path::new(&format!("/proc/{pid}")).exists(),
            "process {pid} of {} is not on this machine: run the test where the engine is",
            container.name
        );
        held(service, &container, pid).with_context(|| container.name.clone())?;
    }
    Ok(())
}

fn held(service: &Value, container: &Container, pid: u64) -> Result<()> {
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
        ("NoNewPrivs", "1"),
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
        "{} of control groups: {held_memory} bytes, {held_cpus} processors",
        container.id
    );
    Ok(())
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
