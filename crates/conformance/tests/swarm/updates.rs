//! Rolling updates to a new tag, under load: nobody notices.

use anyhow::{Result, ensure};
use test_support::{SERVICES, Steps};

use crate::command::expect;
use crate::customers::{Noticed, Refused, meanwhile};
use crate::rehearsal::{Rehearsal, STACK, now, tag};

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
    let name = "nor one of everything at once, by `TAG=... make swarm-up`";
    let everything = upgraded(rehearsal);
    if let Some((seconds, noticed)) = steps.step(name, everything).await {
        steps.figure(
            "everything upgraded",
            format!("{seconds:.1} s, {} answers, 0 failed", noticed.answered),
        );
    }
    let name = "and nobody notices that a service is rolled back by hand";
    if let Some((seconds, noticed)) = steps.step(name, rolled_back(rehearsal)).await {
        steps.figure(
            "product-service rolled back",
            format!("{seconds:.1} s, {} answers, 0 failed", noticed.answered),
        );
    }
}

/// Back to the version that was deployed first: as good as any other.
async fn upgraded(rehearsal: &Rehearsal) -> Result<(f64, Noticed)> {
    let upgrade = async {
        let began = now();
        expect(rehearsal.make("swarm-up")).await?;
        let seconds = began.elapsed().as_secs_f64();
        for service in SERVICES {
            is_of(rehearsal, service, &tag()).await?;
        }
        Ok(seconds)
    };
    let told = meanwhile(&rehearsal.urls(), Refused::TriesTheNext, upgrade).await?;
    told.1.nothing_bad()?;
    Ok(told)
}

async fn rolled_back(rehearsal: &Rehearsal) -> Result<(f64, Noticed)> {
    let rollback = async {
        let began = now();
        let name = format!("{STACK}_product-service");
        let rollback = ["service", "rollback", "--quiet", &name];
        rehearsal.docker(1, &rollback).await?;
        is_of(rehearsal, "product-service", "next").await?;
        Ok(began.elapsed().as_secs_f64())
    };
    let told = meanwhile(&rehearsal.urls(), Refused::Fails, rollback).await?;
    told.1.nothing_bad()?;
    Ok(told)
}

/// A service's tasks are to be of this version.
async fn is_of(rehearsal: &Rehearsal, service: &str, tag: &str) -> Result<()> {
    let format = "{{.Spec.TaskTemplate.ContainerSpec.Image}}";
    let name = format!("{STACK}_{service}");
    let inspect = ["service", "inspect", "--format", format, &name];
    let image = rehearsal.docker(1, &inspect).await?;
    let wanted = format!("underlay/{service}:{tag}");
    ensure!(image == wanted, "{service} is of {image}, not {wanted}");
    Ok(())
}

async fn updated(rehearsal: &Rehearsal, service: &str, refused: Refused) -> Result<(f64, Noticed)> {
    let name = format!("{STACK}_{service}");
    let update = async {
        let began = now();
        let before = containers(rehearsal, &name).await?;
        let mut deployment = rehearsal.deployment(1);
        deployment.env("SERVICES", service).env("TAG", "next");
        expect(deployment).await?;
        is_of(rehearsal, service, "next").await?;
        let after = containers(rehearsal, &name).await?;
        ensure!(after.len() == before.len(), "{after:?}, {before:?} before");
        let stayed = after.iter().find(|task| before.contains(task));
        ensure!(stayed.is_none(), "{stayed:?} was not replaced");
        Ok(began.elapsed().as_secs_f64())
    };
    let (seconds, noticed) = meanwhile(&rehearsal.urls(), refused, update).await?;
    noticed.nothing_bad()?;
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
