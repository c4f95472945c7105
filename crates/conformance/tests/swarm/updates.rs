//! Rolling updates to a new tag, under load: nobody notices.

use anyhow::{Result, ensure};
use test_support::Steps;

use crate::customers::{Noticed, Refused, meanwhile};
use crate::rehearsal::{HOSTS, Rehearsal, STACK, now};

pub(crate) async fn tell(steps: &mut Steps, rehearsal: &Rehearsal) {
    for service in ["product-service", "order-service", "service-registry"] {
        let name = format!("nobody notices an update of {service}");
        let updated = updated(rehearsal, service, Refused::Fails);
        if let Some((seconds, noticed)) = steps.step(&name, updated).await {
            let answered = noticed.answered;
            steps.figure(
                &format!("{service} updated"),
                format!("{seconds:.1} s, {answered} answers, 0 failed"),
            );
        }
    }
    let name = "who tries the next host when one refuses does not notice an update of api-gateway";
    let updated = updated(rehearsal, "api-gateway", Refused::TriesTheNext);
    if let Some((seconds, noticed)) = steps.step(name, updated).await {
        let gaps: Vec<_> = noticed
            .gaps
            .iter()
            .map(|gap| format!("{:.1} s", gap.as_secs_f64()))
            .collect();
        steps.figure(
            "api-gateway updated",
            format!(
                "{seconds:.1} s, {} answers, 0 failed; without an answer host by host: {}",
                noticed.answered,
                gaps.join(", ")
            ),
        );
    }
}

async fn updated(rehearsal: &Rehearsal, service: &str, refused: Refused) -> Result<(f64, Noticed)> {
    let image = format!("underlay/{service}:next");
    let name = format!("{STACK}_{service}");
    let urls: Vec<String> = (1..=HOSTS).map(|host| rehearsal.url(host)).collect();
    let update = async {
        let began = now();
        let before = containers(rehearsal, &name).await?;
        let arguments = [
            "service",
            "update",
            "--quiet",
            "--no-resolve-image",
            "--image",
            &image,
            &name,
        ];
        rehearsal.docker(1, &arguments).await?;
        let after = containers(rehearsal, &name).await?;
        ensure!(after.len() == before.len(), "{after:?}, {before:?} before");
        let stayed = after.iter().find(|task| before.contains(task));
        ensure!(stayed.is_none(), "{stayed:?} was not replaced");
        Ok(began.elapsed().as_secs_f64())
    };
    let (seconds, noticed) = meanwhile(&urls, refused, update).await?;
    let failures = &noticed.failures;
    ensure!(
        failures.is_empty(),
        "{} failed, {} answered:\n{}",
        failures.len(),
        noticed.answered,
        failures[..failures.len().min(12)].join("\n")
    );
    ensure!(
        noticed.answered > 100,
        "no load: {} answers",
        noticed.answered
    );
    Ok((seconds, noticed))
}

/// The tasks that are meant to run.
async fn containers(rehearsal: &Rehearsal, service: &str) -> Result<Vec<String>> {
    let arguments = [
        "service",
        "ps",
        "--quiet",
        "--filter",
        "desired-state=running",
        service,
    ];
    let listed = rehearsal.docker(1, &arguments).await?;
    Ok(listed.lines().map(str::to_owned).collect())
}
