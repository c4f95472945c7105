//! Every secret is made anew while customers order and read: `docker/ops/rotate.sh` on a lab.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, Result, bail, ensure};
use reqwest::{RequestBuilder, StatusCode};

use test_support::{REDIS_USERS, ROLES, Role, SECRETS, comes_again, eventually};

use crate::backup::{agree, deliver};
use crate::setting::{Lab, Setting, UP, said};
use crate::shop::{order, ordering};
use crate::steps::Steps;

/// Customers of each kind. No more orders at a time than connections are open by then: see `docker/ops/rotate.sh`.
const CUSTOMERS: usize = 2;
/// How often one is asked to come again at most: on a busy machine one connection more may be needed all the same.
const TIMES: usize = 20;

pub(crate) async fn tell(steps: &mut Steps, setting: &Setting) {
    let begun = steps.step("a shop, its secrets noted", async {
        let lab = Lab::new(setting, "rotation", setting.compose_file())?;
        lab.expect(&UP).await?;
        deliver(&lab).await?;
        let secrets = secrets(&lab)?;
        Ok((lab, secrets))
    });
    let Some((lab, before)) = begun.await else {
        return;
    };
    let rotated = steps.step(
        "every secret is made anew, and who comes again when asked to does not notice",
        unnoticed(&lab),
    );
    if let Some(told) = rotated.await {
        steps.figure("rotated under load", told);
    }
    steps
        .step(
            "all are new, and the ones before are refused",
            replaced(&lab, &before),
        )
        .await;
    steps
        .step(
            "one that was interrupted is gone on with",
            interrupted(&lab),
        )
        .await;
    steps
        .step("the lab goes", async {
            lab.expect(&["down", "--volumes"]).await.map(drop)
        })
        .await;
}

/// Every master by its name.
fn secrets(lab: &Lab<'_>) -> Result<BTreeMap<String, String>> {
    let mut secrets = BTreeMap::new();
    for entry in std::fs::read_dir(lab.state().join("volumes/secrets-master"))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        secrets.insert(name, std::fs::read_to_string(entry.path())?);
    }
    secrets.remove("users.acl").context("Redis' users")?;
    ensure!(secrets.keys().eq(&SECRETS), "{:?}", secrets.keys());
    Ok(secrets)
}

async fn unnoticed(lab: &Lab<'_>) -> Result<String> {
    let (answered, turned_away) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let done = AtomicBool::new(false);
    let buyer = || async {
        while !done.load(Ordering::Relaxed) {
            // 202: accepted, and decided a little later, after the instance that had it has gone.
            let (status, body) = asked(ordering(lab)?, &turned_away).await?;
            ensure!(status == 201 || status == 202, "{status}: {body}");
            answered.fetch_add(1, Ordering::Relaxed);
        }
        anyhow::Ok(())
    };
    let reader = || async {
        while !done.load(Ordering::Relaxed) {
            for path in ["/api/products/1", "/api/products", "/api/cart"] {
                let reading = reqwest::Client::new().get(format!("{}{path}", lab.url()));
                let (status, body) = asked(reading, &turned_away).await?;
                ensure!(status == 200, "{path}: {status}: {body}");
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    };
    let operator = async {
        let output = lab.shell("docker/ops/rotate.sh").await;
        done.store(true, Ordering::Relaxed);
        output
    };
    let buyers = futures_util::future::join_all((0..CUSTOMERS).map(|_| buyer()));
    let readers = futures_util::future::join_all((0..CUSTOMERS).map(|_| reader()));
    let (output, bought, read) = tokio::join!(operator, buyers, readers);
    let output = output?;
    ensure!(output.status.success(), "{}", said(&output));
    bought.into_iter().chain(read).collect::<Result<()>>()?;
    eventually("every order is decided", || agree(lab)).await?;
    let (answered, turned_away) = (answered.into_inner(), turned_away.into_inner());
    ensure!(
        turned_away * 20 < answered,
        "{answered} answers, {turned_away} asked to come again"
    );
    Ok(format!(
        "{answered} answers, 0 failed, {turned_away} asked to come again"
    ))
}

/// The answer to a request, once it is another than to come again.
async fn asked(request: RequestBuilder, turned_away: &AtomicUsize) -> Result<(StatusCode, String)> {
    for _ in 0..TIMES {
        let request = request.try_clone().context("to be sent again")?;
        let answer = request.send().await?;
        let Some(pause) = comes_again(&answer) else {
            return Ok((answer.status(), answer.text().await?));
        };
        turned_away.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(pause).await;
    }
    bail!("asked to come again {TIMES} times: {request:?}")
}

async fn replaced(lab: &Lab<'_>, before: &BTreeMap<String, String>) -> Result<()> {
    let now = secrets(lab)?;
    for (name, secret) in &now {
        ensure!(secret.len() == 64, "{name} has {} characters", secret.len());
        ensure!(before.get(name) != Some(secret), "{name} is the one before");
    }
    for (secrets, accepted) in [(&now, true), (before, false)] {
        let secret = |name: &str| secrets.get(name).cloned().context(name.to_owned());
        for Role {
            name,
            database,
            secret: password,
        } in ROLES
        {
            let script = format!(
                "PGPASSWORD={} psql -XAt -h 127.0.0.1 -U {name} -d {database} -c 'select 1'",
                secret(password)?
            );
            let output = shell(lab, "postgres-1", &script).await?;
            let is = output.status.success();
            ensure!(is == accepted, "{name}: {}", said(&output));
        }
        for (user, password) in REDIS_USERS {
            let script = format!(
                "redis-cli --no-auth-warning --user {user} --pass {} ping",
                secret(password)?
            );
            let is = said(&shell(lab, "redis-1", &script).await?).contains("PONG");
            ensure!(is == accepted, "{user} at Redis: {is}");
        }
        let register = format!(
            "curl -s -o /dev/null -w '%{{http_code}}' -X DELETE -H 'authorization: Bearer {}' \
             http://127.0.0.1:8500/v1/services/nobody/instances/none",
            secret("registry-token")?
        );
        let told = said(&shell(lab, "service-registry-1", &register).await?);
        ensure!(told.contains("401") != accepted, "the registry: {told}");
        let answer = reqwest::Client::new()
            .get(format!("{}/api/orders?customer_id=somebody", lab.url()))
            .bearer_auth(secret("admin-token")?)
            .send()
            .await?;
        ensure!(
            (answer.status() == 200) == accepted,
            "admin: {}",
            answer.status()
        );
    }
    Ok(())
}

async fn shell(lab: &Lab<'_>, instance: &str, script: &str) -> Result<std::process::Output> {
    lab.exec(instance, &["/bin/sh", "-c", script]).await
}

/// Minted, and then the machine went down: what runs knows the ones before, what starts the new ones.
async fn interrupted(lab: &Lab<'_>) -> Result<()> {
    let before = secrets(lab)?;
    lab.expect(&["run", "--no-deps", "-T", "-e", "ROTATE=all", "secrets"])
        .await?;
    let output = lab.shell("docker/ops/rotate.sh").await?;
    ensure!(output.status.success(), "{}", said(&output));
    order(lab).await?;
    replaced(lab, &before).await
}
