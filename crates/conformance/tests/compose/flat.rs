//! `docker/compose.flat.yml`: the same shop on one network, for comparison.

use anyhow::{Result, ensure};
use test_support::Steps;

use crate::engine::{Engine, project};
use crate::members::Reached;
use crate::shop::{gone, seconds, timed};
use crate::stack::Stack;
use crate::{reach, shopper};

const FILE: &str = "docker/compose.flat.yml";

pub(crate) async fn tell(steps: &mut Steps, engine: &Engine) {
    let Some(stack) = steps
        .step("flat: the override puts all on one network", flat(engine))
        .await
    else {
        return;
    };
    let up = timed(stack.up(&[]));
    let Some(took) = steps.step("flat: the shop comes up", up).await else {
        return;
    };
    steps.figure("flat: `up` to all healthy, s", seconds(took));
    if let Some(told) = steps
        .step("flat: an order is placed", shopper::order(&stack))
        .await
    {
        steps.figure("flat: order", &told["status"]);
    }
    if let Some(told) = steps
        .step(
            "flat: everybody reaches everybody, where they listen",
            all_are_reached(&stack),
        )
        .await
    {
        steps.figure("flat: reach", told);
    }
    steps
        .step("flat: `down --volumes` leaves nothing", gone(&stack))
        .await;
}

async fn flat(engine: &Engine) -> Result<Stack> {
    ensure!(project().join(FILE).exists(), "{FILE} is missing");
    let stack = Stack::new(engine, "flat", &[FILE]).await?;
    let networks = &stack.config["networks"];
    let one = networks.as_object().is_some_and(|all| all.len() == 1);
    ensure!(one, "networks: {networks}");
    Ok(stack)
}

async fn all_are_reached(stack: &Stack) -> Result<String> {
    let tried = reach::every_pair(stack).await?;
    ensure!(tried.count(Reached::Not) == 0, "{}", tried.told());
    Ok(tried.told())
}
