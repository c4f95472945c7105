//! The shop from the real Compose file: brought up, used, hurt, scaled, taken down.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result, ensure};
use conformance::Shop;
use serde_json::{Value, json};
use test_support::eventually;

use crate::instance::{Process, descendants, kill_process, resident};
use crate::residue::Snapshot;
use crate::setting::{Lab, Setting, UP};
use crate::steps::Steps;
use crate::{outages, policy, sandbox, scaling};

const SERVICES: [&str; 4] = [
    "api-gateway-1",
    "order-service-1",
    "product-service-1",
    "service-registry-1",
];

pub(crate) async fn tell(steps: &mut Steps, setting: &Setting) {
    let Some((before, lab)) = steps
        .step(
            "a lab of its own, and a look at the machine before",
            async {
                Ok((
                    Snapshot::take()?,
                    Lab::new(setting, "shop", setting.compose_file())?,
                ))
            },
        )
        .await
    else {
        return;
    };
    steps
        .step(
            "a port that is taken is refused before anything is touched",
            taken_port(&lab),
        )
        .await;
    if steps
        .step("the shop comes up", lab.expect(&UP))
        .await
        .is_none()
    {
        return;
    }
    figures(steps, &lab).await;
    steps
        .step(
            "`up` again says that it is up and changes nothing",
            up_again(&lab),
        )
        .await;
    steps
        .step("the shop keeps its public contract", contract(&lab))
        .await;
    if setting.is_root() {
        steps
            .step(
                "the gateway answers on this host by its own address too",
                answers_directly(&lab),
            )
            .await;
    }
    figures(steps, &lab).await;
    if let Some(tried) = steps
        .step(
            "every undeclared pair is closed, every declared one open",
            closed(&lab),
        )
        .await
    {
        steps.figure("policy", tried);
    }
    steps
        .step(
            "neither service's roles can open the other's database",
            sandbox::databases_are_apart(&lab),
        )
        .await;
    steps
        .step(
            "exec passes exit codes on, its own are Docker's",
            sandbox::exec_passes_exit_codes_on(&lab),
        )
        .await;
    steps
        .step(
            "services see their own secrets, processes and names",
            sandbox::services_see_their_own(&lab),
        )
        .await;
    steps
        .step(
            "Redis is killed, then frozen: slower, never an error",
            outages::redis(&lab),
        )
        .await;
    steps
        .step(
            "the registry is killed, then frozen: the shop goes on from what it knew",
            outages::registry(&lab),
        )
        .await;

    if let Some(told) = steps
        .step(
            "product-service grows to three and back under load, and nobody notices",
            scaling::unnoticed(&lab),
        )
        .await
    {
        steps.figure("scaled under load", told);
    }
    let order = steps.step("an order is placed", order(&lab)).await;
    steps
        .step("`down` leaves nothing behind", down(&lab, &before))
        .await;
    steps
        .step(
            "data of another PostgreSQL version is refused with the remedy",
            other_version(&lab),
        )
        .await;
    let scaled = [&UP[..], &["--scale", "product-service=3"]].concat();
    let scaled = lab.expect(&scaled);
    if steps
        .step("it comes up again with three product services", scaled)
        .await
        .is_none()
    {
        return;
    }
    figures(steps, &lab).await;
    if let Some(order) = order {
        steps
            .step("the order is still there", still_there(&lab, &order))
            .await;
    }
    steps
        .step("requests are spread exactly over the three", spread(&lab))
        .await;
    steps
        .step(
            "instances of one service cannot reach each other either",
            closed(&lab),
        )
        .await;
    steps
        .step(
            "`kill -9` of the first process leaves nothing behind",
            killed(&lab, &before),
        )
        .await;
    steps
        .step("it comes up after that, and goes down", async {
            lab.expect(&UP).await?;
            down(&lab, &before).await
        })
        .await;
}

async fn taken_port(lab: &Lab<'_>) -> Result<()> {
    let taken = TcpListener::bind((Ipv4Addr::UNSPECIFIED, lab.http_port))?;
    let said = lab.refused(69, &UP).await?;
    ensure!(
        said.contains(&lab.http_port.to_string()),
        "does not name the port: {said}"
    );
    ensure!(
        said.contains("docker-compose.yml:"),
        "does not name the line: {said}"
    );
    ensure!(!lab.state().join("volumes").exists(), "volumes were made");
    drop(taken);
    Ok(())
}

/// What was measured; nothing here fails a run.
async fn figures(steps: &Steps, lab: &Lab<'_>) {
    let Ok(status) = lab.status().await else {
        return;
    };
    let built = status["network_ms"].as_f64().unwrap_or(f64::NAN);
    steps.figure("network built, ms", format!("{built:.1}"));
    steps.figure("all healthy, ms", &status["ready_ms"]);
    let mut total = 0;
    for instance in status["instances"].as_array().into_iter().flatten() {
        let named = instance["name"]
            .as_str()
            .filter(|name| SERVICES.contains(name));
        let pid = instance["pid"]
            .as_i64()
            .and_then(|pid| i32::try_from(pid).ok());
        if let Some((name, bytes)) = named.zip(pid.and_then(|pid| resident(pid).ok())) {
            steps.figure(
                &format!("resident memory of {name}, MB"),
                format!("{:.1}", bytes as f64 / 1e6),
            );
            total += bytes;
        }
    }
    steps.figure(
        "resident memory of the four services, MB",
        format!("{:.1}", total as f64 / 1e6),
    );
}

async fn up_again(lab: &Lab<'_>) -> Result<()> {
    let before = lab.instances().await?;
    ensure!(
        before.iter().all(|instance| instance.state == "healthy"),
        "not all healthy: {before:?}"
    );
    let said = lab.run(&UP).await?;
    let said = crate::setting::said(&said);
    ensure!(said.contains("up"), "`up` twice: {said}");
    ensure!(
        lab.instances().await? == before,
        "`up` twice changed something"
    );
    Ok(())
}

async fn answers_directly(lab: &Lab<'_>) -> Result<()> {
    let gateway = lab.instance("api-gateway-1").await?.address;
    let url = format!("http://{gateway}:3000/api/products");
    let answer = reqwest::get(&url).await.with_context(|| url.clone())?;
    ensure!(answer.status().is_success(), "{url}: {}", answer.status());
    let answer: Value = answer.json().await?;
    ensure!(answer["items"].is_array(), "{answer}");
    Ok(())
}

async fn contract(lab: &Lab<'_>) -> Result<()> {
    let token = lab
        .expect(&["secret", "admin-token"])
        .await?
        .trim()
        .to_owned();
    ensure!(token.len() >= 32, "the admin token is {token:?}");
    let report = conformance::run(&Shop::new(&lab.url(), Some(token))?, |_| ()).await;
    ensure!(
        report.failed == 0 && report.skipped == 0,
        "{report}\n{}",
        report.failures()
    );
    let admin = reqwest::get(format!("http://127.0.0.1:{}/ready", lab.admin_port)).await?;
    ensure!(
        admin.status() == 200,
        "the admin port on the host's loopback: {}",
        admin.status()
    );
    Ok(())
}

async fn closed(lab: &Lab<'_>) -> Result<String> {
    let bridge = policy::without_bridge_netfilter(lab).await?;
    Ok(format!(
        "{} (bridge-nf-call-iptables: {bridge})",
        policy::every_pair(lab).await?
    ))
}

pub(crate) async fn get(lab: &Lab<'_>, path: &str) -> Result<reqwest::Response> {
    Ok(reqwest::get(format!("{}{path}", lab.url())).await?)
}

pub(crate) async fn order(lab: &Lab<'_>) -> Result<Value> {
    let answer = ordering(lab)?.send().await?;
    let (code, order) = (answer.status(), answer.text().await?);
    ensure!(code == 201, "{code}: {order}");
    Ok(serde_json::from_str(&order)?)
}

/// An order that has not been sent yet: sent twice, it is one all the same.
pub(crate) fn ordering(lab: &Lab<'_>) -> Result<reqwest::RequestBuilder> {
    let body =
        json!({"customer_id": "the-lab-test", "items": [{"product_id": "1", "quantity": 1}]});
    let key = format!(
        "{:?}",
        std::time::SystemTime::UNIX_EPOCH.elapsed()?.as_nanos()
    );
    Ok(reqwest::Client::new()
        .post(format!("{}/api/orders", lab.url()))
        .header("idempotency-key", key)
        .json(&body))
}

async fn still_there(lab: &Lab<'_>, order: &Value) -> Result<()> {
    let id = order["id"].as_str().context("an id")?;
    let read: Value = get(lab, &format!("/api/orders/{id}"))
        .await?
        .error_for_status()?
        .json()
        .await?;
    ensure!(read == *order, "{read} is read, {order} was placed");
    Ok(())
}

/// The processes of a lab that runs.
async fn processes(lab: &Lab<'_>) -> Result<BTreeSet<Process>> {
    let processes = descendants(lab.first_process().await?)?;
    ensure!(
        processes.len() > 6,
        "only {} processes: {processes:?}",
        processes.len()
    );
    Ok(processes)
}

async fn down(lab: &Lab<'_>, before: &Snapshot) -> Result<()> {
    let processes = processes(lab).await?;
    lab.expect(&["down"]).await?;
    is_gone(lab, before, &processes).await?;
    lab.expect(&["down"]).await?; // nothing to do is no error
    Ok(())
}

async fn killed(lab: &Lab<'_>, before: &Snapshot) -> Result<()> {
    let processes = processes(lab).await?;
    kill_process(lab.first_process().await?)?;
    is_gone(lab, before, &processes).await
}

/// Nothing of the lab is left but its volumes.
pub(crate) async fn is_gone(
    lab: &Lab<'_>,
    before: &Snapshot,
    processes: &BTreeSet<Process>,
) -> Result<()> {
    before.is_all_there_is(processes, &lab.state()).await?;
    // A killed process that has several threads shows as ended a moment before the last of them lets go of its files.
    eventually("the published port is free", || async {
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, lab.http_port))
            .context("the published port is still listened on")
    })
    .await?;
    ensure!(lab.state().join("volumes").is_dir(), "the volumes are gone");
    Ok(())
}

/// Takes the data directory for one of another major version, and gives it back.
async fn other_version(lab: &Lab<'_>) -> Result<()> {
    let file = lab.state().join("volumes/postgres-data/PG_VERSION");
    let version = std::fs::read_to_string(&file)?;
    std::fs::write(&file, "9\n")?;
    let said = lab
        .run(&UP)
        .await
        .map(|output| (output.status.success(), crate::setting::said(&output)));
    std::fs::write(&file, &version)?;
    let (ok, said) = said?;
    ensure!(!ok, "the data of PostgreSQL 9 was taken: {said}");
    for word in ["PostgreSQL 9", version.trim(), "help: "] {
        ensure!(said.contains(word), "does not say {word:?}: {said}");
    }
    Ok(())
}

/// Who answers `requests` requests, and how many of them.
async fn served_by(lab: &Lab<'_>, requests: usize) -> Result<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        let answer = get(lab, "/api/products").await?.error_for_status()?;
        let by = answer.headers().get("x-served-by").context("x-served-by")?;
        *counts.entry(by.to_str()?.to_owned()).or_default() += 1;
    }
    Ok(counts)
}

async fn spread(lab: &Lab<'_>) -> Result<()> {
    // The last of the three may be known to the gateway only a moment after it is healthy.
    eventually("the gateway knows all three", || async {
        let known = served_by(lab, 3).await?;
        ensure!(known.len() == 3, "{known:?}");
        Ok(())
    })
    .await?;
    let counts = served_by(lab, 300).await?;
    ensure!(counts.values().all(|count| *count == 100), "{counts:?}");
    Ok(())
}
