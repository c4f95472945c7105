//! Every secret is made anew while customers order and read: `docker/ops/rotate.sh` on a stack.

use std::ffi::OsStr;

use anyhow::{Result, ensure};
use test_support::Steps;

use crate::docker::said;
use crate::renewal;
use crate::secrets;
use crate::shop::timed;
use crate::stack::Stack;

/// With further variables for the script.
pub(crate) async fn tell(
    steps: &mut Steps,
    stack: &Stack,
    story: &str,
    variables: &[(&str, &OsStr)],
) {
    let told = async {
        let before = secrets::minted(stack).await?;
        let rotated = timed(rotated(stack, variables));
        let noticed = renewal::unnoticed(&[stack.url()], rotated).await?;
        Ok((before, noticed))
    };
    let name = format!(
        "{story}: every secret is made anew, and who comes again when asked to does not notice"
    );
    let Some((before, noticed)) = steps.step(&name, told).await else {
        return;
    };
    steps.figure(&format!("{story}: secrets rotated"), noticed);
    let replaced = async {
        let now = secrets::minted(stack).await?;
        let inside = async |service: &str, script: &str| {
            let exec = ["exec", "-T", service, "/bin/sh", "-c", script];
            stack.compose(&exec).await
        };
        renewal::replaced(&before, &now, &[stack.url()], inside).await
    };
    let name = format!("{story}: the secrets before are refused");
    steps.step(&name, replaced).await;
}

async fn rotated(stack: &Stack, variables: &[(&str, &OsStr)]) -> Result<()> {
    let way = ("WAY", OsStr::new("compose"));
    let variables = [&[way], variables].concat();
    let output = stack.script("docker/ops/rotate.sh", &variables).await?;
    let said = said(&output);
    ensure!(output.status.success(), "{said}");
    for service in ["product-service", "order-service"] {
        // As either Compose names it and tells of it.
        let second = ["-", "_"].map(|by| format!("{}{by}{service}{by}2", stack.name));
        let stood_in = second.iter().any(|name| said.contains(name));
        ensure!(stood_in, "no second {service} stood in: {said}");
    }
    Ok(())
}
