//! What would stop `up` half-way is told by docker/preflight.sh before anything is there, with the remedy.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, ensure};
use test_support::Steps;

use crate::docker::{docker, said};
use crate::leftovers::{self, BESIDE};
use crate::stack::Stack;

pub(crate) async fn tell(steps: &mut Steps, stack: &Stack) {
    steps
        .step("a port that is taken is told beforehand", taken_port(stack))
        .await;
    steps
        .step(
            "a subnet that is taken is told beforehand",
            taken_subnet(stack),
        )
        .await;
    steps.step("else nothing is in the way", free(stack)).await;
}

async fn taken_port(stack: &Stack) -> Result<()> {
    let taken = TcpListener::bind((Ipv4Addr::UNSPECIFIED, stack.http_port))?;
    refuses(stack, &[&stack.http_port.to_string(), "HTTP_PORT"]).await?;
    drop(taken);
    Ok(())
}

async fn taken_subnet(stack: &Stack) -> Result<()> {
    let subnet = format!("{}.0/24", stack.variable("BACKEND_PREFIX")?);
    let (name, label) = (
        format!("{}-taken", stack.name),
        format!("{BESIDE}={}", stack.name),
    );
    let create = ["network", "create", "--label", &label, "--subnet", &subnet];
    docker(&[&create[..], &[&name]].concat()).await?;
    let told = refuses(stack, &[&subnet, &name, "BACKEND_PREFIX"]).await;
    docker(&["network", "rm", &name]).await?;
    told
}

async fn refuses(stack: &Stack, words: &[&str]) -> Result<()> {
    let output = stack.script("docker/preflight.sh", &[]).await?;
    let said = said(&output);
    ensure!(output.status.code() == Some(69), "{said}");
    for word in words.iter().chain(&["remedy"]) {
        ensure!(said.contains(word), "does not say {word:?}: {said}");
    }
    let there = leftovers::of(&stack.name).await?;
    ensure!(there.is_empty(), "{there:?}");
    Ok(())
}

async fn free(stack: &Stack) -> Result<()> {
    let output = stack.script("docker/preflight.sh", &[]).await?;
    ensure!(output.status.success(), "{}", said(&output));
    Ok(())
}
