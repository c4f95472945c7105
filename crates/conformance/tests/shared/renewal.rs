//! What holds of `docker/ops/rotate.sh` wherever the shop runs: customers do not notice, and the stores and the shop open to the new
//! secrets alone.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use test_support::{REDIS_USERS, ROLES, Role, SECRETS};

use crate::customers::{Noticed, Refused, meanwhile};

/// By their names.
pub(crate) type Secrets = BTreeMap<String, String>;

/// Rotates while customers of each URL shop: who comes again when asked to is served. How long it took, in words too.
pub(crate) async fn unnoticed(
    urls: &[String],
    rotate: impl Future<Output = Result<Duration>>,
) -> Result<String> {
    let (took, noticed) = meanwhile(urls, Refused::TriesAgain, rotate).await?;
    noticed.nothing_bad()?;
    let Noticed {
        answered,
        turned_away,
        gaps,
        ..
    } = noticed;
    ensure!(
        turned_away * 20 < answered,
        "{answered} answers, {turned_away} asked to come again"
    );
    let longest = gaps.into_iter().max().unwrap_or_default();
    Ok(format!(
        "{:.0} s, {answered} answers, 0 failed, {turned_away} asked to come again; the longest without a good answer {:.1} s",
        took.as_secs_f64(),
        longest.as_secs_f64()
    ))
}

/// Each secret is another one, and only that opens. `inside` is a shell's words beside a store.
pub(crate) async fn replaced(
    before: &Secrets,
    now: &Secrets,
    urls: &[String],
    inside: impl AsyncFn(&str, &str) -> Result<String>,
) -> Result<()> {
    for name in SECRETS {
        let secret = now.get(name).with_context(|| format!("no {name}"))?;
        ensure!(secret.len() == 64, "{name} has {} characters", secret.len());
        ensure!(before.get(name) != Some(secret), "{name} is the one before");
    }
    for (secrets, accepted) in [(now, true), (before, false)] {
        by_postgres(&inside, secrets, accepted).await?;
        by_redis(&inside, secrets, accepted).await?;
        for url in urls {
            let answer = reqwest::Client::new()
                .get(format!("{url}/api/orders?customer_id=x"))
                .bearer_auth(&secrets["admin-token"])
                .send()
                .await?;
            let expected = if accepted { 200 } else { 401 };
            ensure!(answer.status() == expected, "admin: {}", answer.status());
        }
    }
    Ok(())
}

async fn by_postgres(
    inside: &impl AsyncFn(&str, &str) -> Result<String>,
    secrets: &Secrets,
    accepted: bool,
) -> Result<()> {
    for Role {
        name,
        database,
        secret,
    } in ROLES
    {
        let secret = secrets.get(secret).context(secret)?;
        // By its name: the loopback is trusted by the public image, whatever the password.
        let script = format!(
            "PGPASSWORD={secret} psql -XAt -h postgres -U {name} -d {database} -c 'select 1' 2>&1 || true"
        );
        let said = inside("postgres", &script).await?;
        let as_expected = if accepted {
            said.trim() == "1"
        } else {
            said.contains("password authentication failed")
        };
        ensure!(as_expected, "{name} at PostgreSQL: {said}");
    }
    Ok(())
}

async fn by_redis(
    inside: &impl AsyncFn(&str, &str) -> Result<String>,
    secrets: &Secrets,
    accepted: bool,
) -> Result<()> {
    for (user, name) in REDIS_USERS {
        let script = format!(
            "redis-cli --no-auth-warning --user {user} --pass {} ping 2>&1",
            secrets[name]
        );
        let said = inside("redis", &script).await?;
        ensure!(said.contains("PONG") == accepted, "{user} at Redis: {said}");
    }
    Ok(())
}
