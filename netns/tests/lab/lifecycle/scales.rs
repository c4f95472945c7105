//! `scale`: who comes is led to once it is up, who goes finishes first, and nobody else notices.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::{lines, told};
use crate::instance::{enter, namespaces};
use crate::setting::Lab;
use crate::steps::now;

/// A connection through the published port, and who answers it.
struct Conversation(BufReader<TcpStream>);

impl Conversation {
    async fn begin(lab: &Lab<'_>) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", lab.http_port)).await?;
        Ok(Self(BufReader::new(stream)))
    }

    async fn say(&mut self, line: &str) -> Result<()> {
        Ok(self
            .0
            .get_mut()
            .write_all(format!("{line}\n").as_bytes())
            .await?)
    }

    async fn hear(&mut self) -> Result<String> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line).await?;
        ensure!(read > 0, "the connection ended without an answer");
        Ok(line.trim().to_owned())
    }
}

async fn who_answers(lab: &Lab<'_>) -> Result<String> {
    let mut conversation = Conversation::begin(lab).await?;
    conversation.say("who").await?;
    conversation.hear().await
}

pub(super) async fn answers(lab: &Lab<'_>, count: usize) -> Result<Vec<String>> {
    let mut answers = Vec::new();
    for _ in 0..count {
        answers.push(who_answers(lab).await?);
    }
    Ok(answers)
}

async fn hosts(lab: &Lab<'_>, instance: &str) -> Result<String> {
    let output = lab.exec(instance, &["cat", "/etc/hosts"]).await?;
    Ok(String::from_utf8(output.stdout)?)
}

pub(super) async fn scale_up(lab: &Lab<'_>) -> Result<String> {
    let before = lab.instances().await?;
    let mut old = Conversation::begin(lab).await?;
    old.say("who").await?;
    ensure!(old.hear().await? == "web-1 hello", "before the scale");
    let began = now();
    told(lab, &["scale", "web=3"]).await?;
    let took = began.elapsed();
    old.say("who").await?;
    ensure!(
        old.hear().await? == "web-1 hello",
        "a connection did not outlive the scale"
    );
    let after = lab.instances().await?;
    for instance in &before {
        ensure!(after.contains(instance), "{instance:?} was disturbed");
    }
    let mut seen = answers(lab, 6).await?;
    ensure!(seen[..3] == seen[3..], "not one after the other: {seen:?}");
    seen.sort();
    seen.dedup();
    ensure!(
        seen == ["web-1 hello", "web-2 hello", "web-3 hello"],
        "{seen:?}"
    );
    // base runs since before, and what it sees is a file that was changed under it.
    let known = hosts(lab, "base").await?;
    for instance in after.iter().filter(|instance| instance.service == "web") {
        let line = format!("{}\tweb {}", instance.address, instance.name);
        ensure!(known.contains(&line), "base-1 lacks {line}: {known}");
    }
    Ok(format!("{} ms", took.as_millis()))
}

/// Interfaces of the router, as `ip` prints them.
pub(super) fn router_links(first_process: i32) -> Result<Vec<String>> {
    let mut command = Command::new("ip");
    command.args(["-j", "link"]);
    for namespace in namespaces(first_process)? {
        let output = enter(first_process, &namespace, &command)?;
        let links: Value = serde_json::from_slice(&output.stdout)?;
        let names: Vec<String> = links
            .as_array()
            .context("a list of links")?
            .iter()
            .filter_map(|link| link["ifname"].as_str().map(str::to_owned))
            .collect();
        if names.iter().any(|name| name == "br-back") {
            return Ok(names);
        }
    }
    anyhow::bail!("no namespace has the bridge br-back")
}

pub(super) async fn scale_down(lab: &Lab<'_>) -> Result<String> {
    let first_process = lab.first_process().await?;
    let of_web = |links: Vec<String>| {
        links
            .into_iter()
            .filter(|link| link.starts_with("v-web-"))
            .count()
    };
    ensure!(
        of_web(router_links(first_process)?) == 3,
        "three links before"
    );
    let held = namespaces(first_process)?.len();
    let mut slow = Vec::new();
    for _ in 0..3 {
        let mut conversation = Conversation::begin(lab).await?;
        conversation.say("who").await?;
        conversation.hear().await?;
        conversation.say("slow").await?;
        slow.push(conversation);
    }
    let began = now();
    let finish = async {
        let mut answers = Vec::new();
        for mut conversation in slow {
            answers.push(conversation.hear().await?);
        }
        anyhow::Ok(answers)
    };
    let (scaled, answers_to_slow) = tokio::join!(told(lab, &["scale", "web=1"]), finish);
    let (scaled, took) = (scaled?, began.elapsed());
    let mut finished = answers_to_slow.context("an answer under way was lost")?;
    finished.sort();
    ensure!(
        finished == ["web-1 hello", "web-2 hello", "web-3 hello"],
        "{finished:?}"
    );
    let mut removed = lines(&scaled, "removed");
    removed.sort_unstable();
    ensure!(removed == ["web-2", "web-3"], "scale: {scaled}");
    let links = router_links(first_process)?;
    ensure!(of_web(links.clone()) == 1, "links stay: {links:?}");
    let holds = namespaces(first_process)?.len();
    ensure!(holds + 2 == held, "namespaces: {held}, then {holds}");
    ensure!(
        answers(lab, 3).await? == ["web-1 hello"; 3],
        "who is gone is still led to"
    );
    ensure!(
        !hosts(lab, "base").await?.contains("web-2"),
        "who is gone is still known"
    );
    Ok(format!("{} ms", took.as_millis()))
}

pub(super) async fn refused(lab: &Lab<'_>) -> Result<()> {
    let before = lab.instances().await?;
    let refusal = lab.refused(64, &["scale", "web=2", "loner=2"]).await?;
    ensure!(refusal.contains("10.77.2.9"), "{refusal}");
    let refusal = lab.refused(64, &["scale", "web=40"]).await?;
    ensure!(refusal.contains("10.77.2.16/28"), "{refusal}");
    let refusal = lab.refused(1, &["scale", "nosuch=1"]).await?;
    ensure!(
        refusal.contains("nosuch") && refusal.contains("loner"),
        "names no services: {refusal}"
    );
    ensure!(
        lab.instances().await? == before,
        "a refusal changed something"
    );
    told(lab, &["scale", "web=0"]).await?;
    ensure!(
        who_answers(lab).await.is_err(),
        "a service of no instances answers"
    );
    told(lab, &["scale", "web=1"]).await?;
    ensure!(who_answers(lab).await? == "web-1 hello", "after web=0");
    let told_again = told(lab, &["scale", "web=1"]).await?;
    ensure!(
        told_again.contains("nothing was changed"),
        "scale again: {told_again}"
    );
    Ok(())
}
