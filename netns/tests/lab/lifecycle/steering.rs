//! `stop`, `start`, `restart`, `kill` and `wait`.

use anyhow::{Result, ensure};

use super::{lines, told};
use crate::setting::{Lab, said};

pub(super) async fn stop_and_start(lab: &Lab<'_>) -> Result<()> {
    let told_stop = told(lab, &["stop"]).await?;
    let stopped = lines(&told_stop, "stopped");
    let position = |name: &str| stopped.iter().position(|other| *other == name);
    ensure!(
        stopped.len() == 3 && position("web-1") < position("base-1"),
        "stop: {told_stop}"
    );
    // And base is not even told before web has ended.
    let past = ["events", "--since", "1h", "--until", "0s", "web", "base"];
    let past = lab.expect(&past).await?;
    let at = |text: &str| past.find(text);
    let (ended, told_base) = (at(" die web-1 "), at(" kill base-1 "));
    ensure!(
        ended.is_some() && told_base.is_some() && ended < told_base,
        "{past}"
    );
    let states: Vec<_> = lab
        .instances()
        .await?
        .into_iter()
        .map(|instance| (instance.name, instance.state, instance.pid))
        .collect();
    let is_held = |name: &str| states.contains(&(name.to_owned(), "stopped".to_owned(), None));
    ensure!(
        is_held("base-1") && is_held("web-1") && is_held("loner-1"),
        "{states:?}"
    );
    ensure!(
        states.contains(&("once-1".to_owned(), "completed".to_owned(), None)),
        "{states:?}"
    );
    // In Docker's words, and in those of the table.
    for (state, names) in [
        ("--status=exited", "base-1\nloner-1\nonce-1\nweb-1\n"),
        ("--filter=status=completed", "once-1\n"),
        ("--status=running", ""),
    ] {
        let chosen = lab.expect(&["ps", "-q", state]).await?;
        ensure!(chosen == names, "ps {state}: {chosen:?}");
    }
    let completed = lab.expect(&["ps", "--json", "--status=completed"]).await?;
    let completed: serde_json::Value = serde_json::from_str(&completed)?;
    let listed = completed["instances"].as_array();
    ensure!(
        listed.is_some_and(|all| all.len() == 1 && all[0]["name"] == "once-1"),
        "{completed}"
    );
    let labs = lab.expect(&["ls"]).await?;
    ensure!(labs.contains(" completed(1), stopped(3) "), "{labs}");
    // Nothing runs: a program of the machine would find networks, one of a sandbox has nowhere to go.
    let nowhere = lab.refused(1, &["exec", "nobody", "true"]).await?;
    ensure!(nowhere.ends_with("there are: router, world\n"), "{nowhere}");
    let networks = ["exec", "--privileged", "nobody", "true"];
    let networks = lab.refused(1, &networks).await?;
    ensure!(networks.contains("once-1, web-1, router"), "{networks}");
    let told_again = told(lab, &["stop", "web"]).await?;
    ensure!(
        told_again.contains("nothing was changed"),
        "stop again: {told_again}"
    );
    let told_start = told(lab, &["start", "web"]).await?;
    ensure!(
        lines(&told_start, "running") == ["base-1"] && lines(&told_start, "healthy") == ["web-1"],
        "start web: {told_start}"
    );
    ensure!(
        lab.instance("loner-1").await?.state == "stopped",
        "loner-1 was not asked for"
    );
    told(lab, &["start"]).await?;
    Ok(())
}

pub(super) async fn restart_kill_wait(lab: &Lab<'_>) -> Result<()> {
    let before = lab.instance("web-1").await?;
    let base = lab.instance("base-1").await?;
    told(lab, &["restart", "-t", "3", "web"]).await?;
    let after = lab.instance("web-1").await?;
    ensure!(
        after.pid != before.pid && after.restarts == 0 && after.address == before.address,
        "restart: {before:?}, then {after:?}"
    );
    ensure!(
        lab.instance("base-1").await? == base,
        "base-1 was disturbed"
    );
    // Whichever comes first: one that has ended already is not waited for.
    let (waited, killed) = tokio::join!(lab.run(&["wait", "base"]), told(lab, &["kill", "base"]));
    killed?;
    let waited = waited?;
    ensure!(
        waited.status.code() == Some(137)
            && String::from_utf8_lossy(&waited.stdout)
                .contains("base-1 exited with status code 137"),
        "wait: {}",
        said(&waited)
    );
    let base = lab.instance("base-1").await?;
    ensure!(
        base.state == "stopped" && base.restarts == 0,
        "killed by a person, and restart: always: {base:?}"
    );
    let past = ["events", "--since", "1h", "--until", "0s", "base"];
    let events = lab.expect(&past).await?;
    ensure!(
        events.contains("kill base-1 (signal=SIGKILL, service=base)"),
        "{events}"
    );
    let refusal = lab.refused(1, &["kill", "base"]).await?;
    ensure!(refusal.contains("nothing of that runs"), "{refusal}");
    let refusal = lab.refused(1, &["restart", "nosuch"]).await?;
    ensure!(
        refusal.contains("base") && refusal.contains("web"),
        "names no services: {refusal}"
    );
    told(lab, &["start", "base"]).await?;
    Ok(())
}
