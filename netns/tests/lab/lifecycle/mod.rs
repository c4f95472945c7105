//! A small lab that is stopped, started, scaled and changed while it runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::instance::{enter, namespaces};
use crate::setting::{Lab, Setting, UP, said};
use crate::steps::{Steps, now};

/// Answers each line with its own name, `slow` after half a second; told to stop it answers who is there and takes nobody new.
const WEB: &str = r#"
use IO::Socket::INET;
my $listener = IO::Socket::INET->new(LocalPort => 8080, Listen => 128, ReuseAddr => 1) or die "listen: $!";
$SIG{TERM} = sub { close $listener };
while (my $client = $listener->accept) {
    next if fork;
    $SIG{TERM} = 'IGNORE';
    close $listener;
    $client->autoflush(1);
    while (my $line = <$client>) {
        select undef, undef, undef, 0.5 if $line =~ /slow/;
        print $client "$ENV{HOSTNAME} $ENV{GREETING}\n";
    }
    exit 0;
}
1 while wait > 0;
"#;

/// `base` is what web depends on; `once` completes; `loner` has an address of its own.
const FILE: &str = r#"
services:
  once:
    entrypoint: [/bin/sleep, "0.2"]
    networks: [back]
  base:
    entrypoint: [/bin/sh, -c, "trap 'exit 0' TERM; while :; do sleep 0.1; done"]
    restart: always
    networks: [back]
  web:
    entrypoint: [perl, /web.pl]
    environment: { GREETING: "hello" }
    volumes: ["./web.pl:/web.pl:ro"]
    depends_on: { base: { condition: service_started }, once: { condition: service_completed_successfully } }
    restart: unless-stopped
    healthcheck: { test: [CMD, perl, -MIO::Socket::INET, -e, "exit !IO::Socket::INET->new('127.0.0.1:8080')"], interval: 1s }
    stop_grace_period: 5s
    ports: ["127.0.0.1:${HTTP_PORT}:8080"]
    networks: [back]
  loner:
    entrypoint: [/bin/sh, -c, "trap 'exit 0' TERM; while :; do sleep 0.1; done"]
    networks: { back: { ipv4_address: 10.77.2.9 } }
x-flows:
  - world -> web:8080
  - web -> base:1
  - base -> web:8080
networks:
  back:
    ipam: { config: [ { subnet: 10.77.2.0/24, ip_range: 10.77.2.16/28 } ] }
"#;

pub(crate) async fn tell(steps: &mut Steps, setting: &Setting) {
    let prepared = file(setting).and_then(|file| {
        let lab = Lab::new(setting, "lifecycle", file.clone())?;
        Ok((lab, file))
    });
    let (lab, file) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return steps.fail("a small Compose file", &error),
    };
    if steps
        .step("a small lab comes up", lab.expect(&UP))
        .await
        .is_none()
    {
        return;
    }
    steps
        .step(
            "stop and start keep the order; what was stopped stays so",
            stop_and_start(&lab),
        )
        .await;
    steps
        .step(
            "restart, kill and wait do what Compose's do",
            restart_kill_wait(&lab),
        )
        .await;
    if let Some(latency) = steps
        .step(
            "a scale is seen by all, and disturbs nobody",
            scale_up(&lab),
        )
        .await
    {
        steps.figure("scale 1 -> 3, healthy and shown", latency);
    }
    if let Some(latency) = steps
        .step(
            "what goes finishes first, then its link is gone",
            scale_down(&lab),
        )
        .await
    {
        steps.figure("scale 3 -> 1, with an answer to finish", latency);
    }
    steps
        .step(
            "a scale that cannot be had is refused before anything is touched",
            refused(&lab),
        )
        .await;
    steps
        .step(
            "a one-off instance is of its service and in nobody's way",
            one_off(&lab),
        )
        .await;
    steps
        .step(
            "up applies what has changed, and nothing else",
            changed(&lab, &file),
        )
        .await;
    steps
        .step("it goes down", lab.expect(&["down", "--volumes"]))
        .await;
}

fn file(setting: &Setting) -> Result<PathBuf> {
    let folder = setting.folder("lifecycle")?;
    let script = folder.join("web.pl");
    std::fs::write(&script, WEB)?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&script, mode)?;
    let file = folder.join("compose.yaml");
    std::fs::write(&file, FILE)?;
    Ok(file)
}

/// Runs a verb that must succeed: what it said on standard error.
async fn told(lab: &Lab<'_>, arguments: &[&str]) -> Result<String> {
    let output = lab.run(arguments).await?;
    ensure!(
        output.status.success(),
        "netns-setup {}: {}",
        arguments.join(" "),
        said(&output)
    );
    Ok(String::from_utf8(output.stderr)?)
}

/// The instances that are said to have reached a state, in that order.
fn lines<'a>(told: &'a str, state: &str) -> Vec<&'a str> {
    let reached = told.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let instance = words.next()?;
        (words.next()? == state).then_some(instance)
    });
    reached.collect()
}

async fn stop_and_start(lab: &Lab<'_>) -> Result<()> {
    let told_stop = told(lab, &["stop"]).await?;
    let stopped = lines(&told_stop, "stopped");
    let position = |name: &str| stopped.iter().position(|other| *other == name);
    ensure!(
        stopped.len() == 3 && position("web-1") < position("base-1"),
        "stop: {told_stop}"
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

async fn restart_kill_wait(lab: &Lab<'_>) -> Result<()> {
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

async fn answers(lab: &Lab<'_>, count: usize) -> Result<Vec<String>> {
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

async fn scale_up(lab: &Lab<'_>) -> Result<String> {
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
fn router_links(first_process: i32) -> Result<Vec<String>> {
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

async fn scale_down(lab: &Lab<'_>) -> Result<String> {
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

async fn refused(lab: &Lab<'_>) -> Result<()> {
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

async fn one_off(lab: &Lab<'_>) -> Result<()> {
    let before = lab.instances().await?;
    let links = router_links(lab.first_process().await?)?;
    let script =
        "echo $GREETING $HOSTNAME; ip -4 -o addr show dev eth0; grep -c web-run /etc/hosts; exit 3";
    let run = ["run", "-T", "-e", "GREETING=hi", "--entrypoint", "/bin/sh"];
    let output = lab
        .run(&[&run[..], &["web", "-c", script]].concat())
        .await?;
    let told = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.code() == Some(3) && told.starts_with("hi web-run-1\n"),
        "run: {}",
        said(&output)
    );
    // The last of the range: the others are numbered from the first.
    ensure!(
        told.contains("10.77.2.31/24") && told.ends_with("\n1\n"),
        "its address and names: {told}"
    );
    // What the flows open to base, they open to it; what they open to nobody, not.
    let dial = "print IO::Socket::INET->new('web:8080') ? 'open' : 'closed'";
    for (service, expected) in [("base", "open"), ("loner", "closed")] {
        let run = ["run", "-T", "--entrypoint", "perl", service];
        let told = lab
            .expect(&[&run[..], &["-MIO::Socket::INET", "-e", dial]].concat())
            .await?;
        ensure!(told == expected, "{service} -> web:8080 is {told}");
    }
    let missing = lab
        .refused(127, &["run", "-T", "--entrypoint", "/nowhere", "base"])
        .await?;
    ensure!(missing.contains("/nowhere"), "{missing}");
    lab.refused(1, &["run", "-T", "nosuch"]).await?;
    ensure!(
        lab.instances().await? == before,
        "a one-off instance disturbed another"
    );
    // The command returns when the program has ended; its network goes right behind it.
    test_support::eventually("its link is gone", || async {
        let now = router_links(lab.first_process().await?)?;
        ensure!(now == links, "{now:?}");
        Ok(())
    })
    .await
}

async fn changed(lab: &Lab<'_>, file: &Path) -> Result<()> {
    let before = lab.instances().await?;
    let unchanged = told(lab, &UP).await?;
    ensure!(
        unchanged.contains("nothing was changed") && lab.instances().await? == before,
        "up: {unchanged}"
    );
    std::fs::write(file, FILE.replace("\"hello\"", "\"good day\""))?;
    let applied = told(lab, &[&UP[..], &["--scale", "web=2"]].concat()).await?;
    let mut healthy = lines(&applied, "healthy");
    healthy.sort_unstable();
    ensure!(healthy == ["web-1", "web-2"], "up: {applied}");
    let mut seen = answers(lab, 2).await?;
    seen.sort();
    ensure!(seen == ["web-1 good day", "web-2 good day"], "{seen:?}");
    for name in ["base-1", "loner-1"] {
        let was = before.iter().find(|instance| instance.name == name);
        ensure!(
            Some(&lab.instance(name).await?) == was,
            "{name} was disturbed"
        );
    }
    // A service more and one less; without --scale the file's number again.
    let other = FILE
        .replace("  loner:", "  guest:")
        .replace("10.77.2.9", "10.77.2.10")
        .replace("\"hello\"", "\"good day\"");
    std::fs::write(file, other)?;
    let applied = told(lab, &UP).await?;
    let mut removed = lines(&applied, "removed");
    removed.sort_unstable();
    ensure!(
        removed == ["loner-1", "web-2"] && lines(&applied, "running") == ["guest-1"],
        "up: {applied}"
    );
    ensure!(
        lab.instance("guest-1").await?.address == "10.77.2.10",
        "the new service's address"
    );
    let anew = told(
        lab,
        &[&UP[..], &["--force-recreate", "--no-deps", "base"]].concat(),
    )
    .await?;
    ensure!(lines(&anew, "running") == ["base-1"], "up: {anew}");
    // What has completed and was held is run again, and waited for.
    told(lab, &["stop", "once"]).await?;
    let again = told(lab, &UP).await?;
    ensure!(
        lines(&again, "completed") == ["once-1"],
        "up returns before once-1 has completed: {again}"
    );
    Ok(())
}
