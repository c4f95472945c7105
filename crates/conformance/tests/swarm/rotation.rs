//! Every secret is made anew while customers order and read: `docker/ops/rotate.sh` on a Swarm.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use test_support::Steps;

use crate::command::expect;
use crate::customers::{Noticed, Refused, meanwhile};
use crate::rehearsal::{HOSTS, Rehearsal, STACK, now};

/// What the mint mints; Redis' users are made of it.
const SECRETS: &[&str] = &[
    "postgres-password",
    "catalog-owner-password",
    "catalog-password",
    "orders-owner-password",
    "orders-password",
    "redis-product-password",
    "redis-order-password",
    "operator-password",
    "registry-token",
    "admin-token",
];

type Secrets = BTreeMap<&'static str, String>;

pub(crate) async fn tell(steps: &mut Steps, rehearsal: &Rehearsal) {
    let told = async {
        let (secrets, names) = (secrets(rehearsal)?, names(rehearsal).await?);
        let (seconds, noticed) = rotated(rehearsal).await?;
        Ok((secrets, names, seconds, noticed))
    };
    let name = "every secret is made anew, and who comes again when asked to does not notice";
    let Some((secrets, names, seconds, noticed)) = steps.step(name, told).await else {
        return;
    };
    let longest = noticed.gaps.iter().max().copied().unwrap_or_default();
    steps.figure(
        "secrets rotated",
        format!(
            "{seconds:.0} s, {} answers, 0 failed, {} asked to come again; the longest without a good answer {:.1} s",
            noticed.answered,
            noticed.turned_away,
            longest.as_secs_f64()
        ),
    );
    steps
        .step(
            "the ones before are refused, and gone from the Swarm",
            replaced(rehearsal, &secrets, &names),
        )
        .await;
}

async fn rotated(rehearsal: &Rehearsal) -> Result<(f64, Noticed)> {
    let urls: Vec<String> = (1..=HOSTS).map(|host| rehearsal.url(host)).collect();
    let rotation = async {
        let began = now();
        expect(rehearsal.operation("rotate.sh", 1)).await?;
        Ok(began.elapsed().as_secs_f64())
    };
    let (seconds, noticed) = meanwhile(&urls, Refused::TriesAgain, rotation).await?;
    let failures = &noticed.failures;
    ensure!(
        failures.is_empty(),
        "{} failed, {} answered:\n{}",
        failures.len(),
        noticed.answered,
        failures[..failures.len().min(12)].join("\n")
    );
    ensure!(
        noticed.answered > 100 && noticed.turned_away * 20 < noticed.answered,
        "{} answers, {} asked to come again",
        noticed.answered,
        noticed.turned_away
    );
    Ok((seconds, noticed))
}

fn secrets(rehearsal: &Rehearsal) -> Result<Secrets> {
    let mut secrets = Secrets::new();
    for name in SECRETS {
        secrets.insert(name, rehearsal.secret(name)?);
    }
    Ok(secrets)
}

/// The Swarm's own secrets.
async fn names(rehearsal: &Rehearsal) -> Result<BTreeSet<String>> {
    let listed = ["secret", "ls", "--format", "{{.Name}}"];
    let listed = rehearsal.docker(1, &listed).await?;
    Ok(listed.lines().map(str::to_owned).collect())
}

async fn replaced(
    rehearsal: &Rehearsal,
    before: &Secrets,
    names_before: &BTreeSet<String>,
) -> Result<()> {
    let names = names(rehearsal).await?;
    ensure!(
        names.len() == SECRETS.len() + 1 && names.is_disjoint(names_before),
        "there are {names:?}, {names_before:?} before"
    );
    let now = secrets(rehearsal)?;
    for (name, secret) in &now {
        ensure!(secret.len() == 64, "{name} has {} characters", secret.len());
        ensure!(before.get(name) != Some(secret), "{name} is the one before");
    }
    for (secrets, accepted) in [(&now, true), (before, false)] {
        accepted_by_postgres(rehearsal, secrets, accepted).await?;
        accepted_by_redis(rehearsal, secrets, accepted).await?;
        for host in 1..=HOSTS {
            let answer = reqwest::Client::new()
                .get(format!("{}/api/orders?customer_id=x", rehearsal.url(host)))
                .bearer_auth(&secrets["admin-token"])
                .send()
                .await?;
            let expected = if accepted { 200 } else { 401 };
            ensure!(answer.status() == expected, "admin: {}", answer.status());
        }
    }
    Ok(())
}

async fn accepted_by_postgres(
    rehearsal: &Rehearsal,
    secrets: &Secrets,
    accepted: bool,
) -> Result<()> {
    for role in [
        "postgres",
        "catalog_owner",
        "catalog",
        "orders_owner",
        "orders",
    ] {
        let database = role.split('_').next().unwrap_or(role);
        let secret = format!("{}-password", role.replace('_', "-"));
        let secret = secrets.get(secret.as_str()).context(secret)?;
        let script = format!(
            "PGPASSWORD={secret} psql -XAt -h 127.0.0.1 -U {role} -d {database} -c 'select 1'"
        );
        let is = inside(rehearsal, "postgres", &script).await.is_ok();
        ensure!(is == accepted, "{role} at PostgreSQL: {is}");
    }
    Ok(())
}

async fn accepted_by_redis(rehearsal: &Rehearsal, secrets: &Secrets, accepted: bool) -> Result<()> {
    for (user, name) in [
        ("operator", "operator-password"),
        ("product", "redis-product-password"),
        ("order", "redis-order-password"),
    ] {
        let script = format!(
            "redis-cli --no-auth-warning --user {user} --pass {} ping 2>&1",
            secrets[name]
        );
        let said = inside(rehearsal, "redis", &script).await?;
        ensure!(said.contains("PONG") == accepted, "{user} at Redis: {said}");
    }
    Ok(())
}

/// A shell's words beside a store, on the manager.
async fn inside(rehearsal: &Rehearsal, service: &str, script: &str) -> Result<String> {
    let label = format!("label=com.docker.swarm.service.name={STACK}_{service}");
    let container = ["ps", "--quiet", "--filter", &label];
    let container = rehearsal.docker(1, &container).await?;
    let exec = ["exec", &container, "/bin/sh", "-c", script];
    rehearsal.docker(1, &exec).await
}
