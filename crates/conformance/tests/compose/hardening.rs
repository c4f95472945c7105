//! What the file takes away from each container and how much it grants, as the engine notes it and as the kernel holds it.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::held::{held, limit, words};
use crate::stack::{Container, Stack};

/// The one container that starts as root, and gets capabilities back: its entrypoint owns the folder to its user, and steps down.
const STEPS_DOWN: &str = "postgres";
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
        held(service, pid, true).with_context(|| container.name.clone())?;
    }
    Ok(())
}
