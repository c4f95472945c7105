//! Every secret is made anew while customers order and read: `docker/ops/rotate.sh` on a stack.

use std::ffi::OsStr;

use anyhow::{Result, ensure};
use test_support::Steps;

use crate::docker::said;
use crate::renewal;
use crate::secrets;
use crate::shop::timed;
use crate::stack::Stack;

pub(crate) async fn tell(steps: &mut Steps, stack: &Stack) {
    let told = async {
        let before = secrets::minted(stack).await?;
        let noticed = renewal::unnoticed(&[stack.url()], timed(rotated(stack))).await?;
        Ok((before, noticed))
    };
    let name =
        "rotation: every secret is made anew, and who comes again when asked to does not notice";
    let Some((before, noticed)) = steps.step(name, told).await else {
        return;
    };
    steps.figure("rotation: secrets rotated", noticed);
    let replaced = async {
        let now = secrets::minted(stack).await?;
        let inside = async |service: &str, script: &str| {
            let exec = ["exec", "-T", service, "/bin/sh", "-c", script];
            stack.compose(&exec).await
        };
        renewal::replaced(&before, &now, &[stack.url()], inside).await
    };
    steps
        .step("rotation: the ones before are refused", replaced)
        .await;
}

async fn rotated(stack: &Stack) -> Result<()> {
    let variables = [("WAY", OsStr::new("compose"))];
    let output = stack.script("docker/ops/rotate.sh", &variables).await?;
    ensure!(output.status.success(), "{}", said(&output));
    Ok(())
}
