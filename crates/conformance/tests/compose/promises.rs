//! What the shop promises of its containers, said once more: a line that is lost from the file is noticed, as comparing the
//! engine's notes with that same file would not.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::stack::{Container, Stack};

/// Of one service.
struct Promise {
    service: &'static str,
    memory_mib: u64,
    tmpfs: &'static [&'static str],
    /// Seconds that it is given to end.
    grace: u64,
    /// Its fixed addresses: the network, and the last number.
    fixed: &'static [(&'static str, u8)],
}

/// Of our own services, seconds: what is in flight is over before, or given up by themselves (see [`fits_the_drain`]).
const GRACE: u64 = 15;
const PROMISES: &[Promise] = &[
    Promise {
        service: "postgres",
        memory_mib: 256,
        tmpfs: &["/tmp", "/var/run/postgresql"],
        grace: 30, // a checkpoint, on half a processor
        fixed: &[("database", 20)],
    },
    Promise {
        service: "redis",
        memory_mib: 128,
        tmpfs: &["/tmp"],
        grace: 15,
        fixed: &[("database", 10)],
    },
    Promise {
        service: "service-registry",
        memory_mib: 128,
        tmpfs: &["/tmp"],
        grace: GRACE,
        fixed: &[("backend", 5)],
    },
    Promise {
        service: "product-service",
        memory_mib: 128,
        tmpfs: &["/tmp"],
        grace: GRACE,
        fixed: &[],
    },
    Promise {
        service: "order-service",
        memory_mib: 128,
        tmpfs: &["/tmp"],
        grace: GRACE,
        fixed: &[],
    },
    Promise {
        service: "api-gateway",
        memory_mib: 128,
        tmpfs: &["/tmp"],
        grace: GRACE,
        fixed: &[("frontend", 10)],
    },
];
/// Half a processor.
const NANO_CPUS: u64 = 500_000_000;
/// What is handed out begins here; fixed addresses stay below.
const HANDED_OUT: u8 = 128;

/// Of everything that runs.
pub(crate) async fn kept(stack: &Stack) -> Result<()> {
    let running = stack.running().await?;
    let services: BTreeSet<&str> = running.iter().map(|one| one.service.as_str()).collect();
    let promised: BTreeSet<&str> = PROMISES.iter().map(|promise| promise.service).collect();
    ensure!(services == promised, "{services:?} run");
    for container in &running {
        keeps(promise(container)?, &container.state).with_context(|| container.name.clone())?;
    }
    Ok(())
}

fn promise(container: &Container) -> Result<&'static Promise> {
    let mut all = PROMISES.iter();
    let promise = all.find(|promise| promise.service == container.service);
    promise.with_context(|| format!("nothing is promised of {}", container.name))
}

fn keeps(promise: &Promise, state: &Value) -> Result<()> {
    let noted = &state["HostConfig"];
    let log = json!({"Type": "json-file", "Config": {"max-file": "3", "max-size": "10m"}});
    for (key, noted, wanted) in [
        ("NanoCpus", &noted["NanoCpus"], json!(NANO_CPUS)),
        ("Memory", &noted["Memory"], json!(promise.memory_mib << 20)),
        ("LogConfig", &noted["LogConfig"], log),
        (
            "RestartPolicy",
            &noted["RestartPolicy"]["Name"],
            json!("unless-stopped"),
        ),
        (
            "StopTimeout",
            &state["Config"]["StopTimeout"],
            json!(promise.grace),
        ),
    ] {
        ensure!(*noted == wanted, "{key}: {noted}, not {wanted}");
    }
    fits_the_drain(promise, &state["Config"]["Env"])?;
    let tmpfs = noted["Tmpfs"].as_object().into_iter().flatten();
    let tmpfs: BTreeSet<&str> = tmpfs.map(|(path, _)| path.as_str()).collect();
    let wanted: BTreeSet<&str> = promise.tmpfs.iter().copied().collect();
    ensure!(tmpfs == wanted, "Tmpfs: {tmpfs:?}, not {wanted:?}");
    Ok(())
}

/// The hard end that a service sets itself (`SHUTDOWN_MS`, as documented, and it is not set to another) comes before the engine's.
fn fits_the_drain(promise: &Promise, environment: &Value) -> Result<()> {
    let mut lines = include_str!("../../../../docs/configuration.md").lines();
    let line = lines.find(|line| line.contains("`SHUTDOWN_MS` | "));
    let value = line.and_then(|line| line.split('|').nth(2));
    let milliseconds = value.and_then(|value| value.rsplit(',').next());
    let milliseconds: u64 = milliseconds.context("SHUTDOWN_MS")?.trim().parse()?;
    ensure!(
        promise.grace * 1000 > milliseconds,
        "{} s to end, and it may take {milliseconds} ms",
        promise.grace
    );
    let mut environment = environment.as_array().into_iter().flatten();
    let set = environment.find(|one| one.to_string().contains("SHUTDOWN_MS="));
    ensure!(set.is_none(), "{set:?}");
    Ok(())
}

/// Nobody is handed out an address that another has for good.
pub(crate) async fn addresses(stack: &Stack) -> Result<()> {
    for container in stack.running().await? {
        let fixed = promise(&container)?.fixed;
        let networks = container.state["NetworkSettings"]["Networks"].as_object();
        for (name, attached) in networks.context("no networks")? {
            let network = name.trim_start_matches(&format!("{}_", stack.name));
            let address: Ipv4Addr = attached["IPAddress"].as_str().unwrap_or_default().parse()?;
            let [.., last] = address.octets();
            let mut all = fixed.iter();
            let as_promised = match all.find(|(fixed, _)| *fixed == network) {
                Some((_, own)) => last == *own,
                None => last >= HANDED_OUT,
            };
            ensure!(as_promised, "{} has {address}", container.name);
        }
    }
    Ok(())
}
