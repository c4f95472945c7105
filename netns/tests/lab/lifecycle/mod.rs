//! A small lab that is stopped, started, scaled and changed while it runs.

mod changing;
mod opens;
mod pausing;
mod racing;
mod scales;
mod steering;

use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::setting::{Lab, Setting, UP, said};
use crate::steps::Steps;

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
    steps
        .step(
            "pause halts every process of an instance, unpause lets it go on as it was",
            pausing::pauses(setting),
        )
        .await;
    let prepared = file(setting).and_then(|file| {
        let lab = Lab::new(setting, "lifecycle", file.clone())?;
        Ok((lab, file))
    });
    let (lab, file) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return steps.fail("a small Compose file", &error),
    };
    steps
        .step(
            "run brings a lab up that is not, with what the service depends on and nothing else",
            changing::one_off_alone(&lab),
        )
        .await;
    steps
        .step(
            "of several who bring up or change one lab at once, one does, and the others find it done",
            racing::at_once(&lab, &file),
        )
        .await;
    steps
        .step(
            "who waits for another to have brought the lab up says so, and can be interrupted",
            racing::waits(&lab),
        )
        .await;
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
            steering::stop_and_start(&lab),
        )
        .await;
    steps
        .step(
            "restart, kill and wait do what Compose's do",
            steering::restart_kill_wait(&lab),
        )
        .await;
    if let Some(latency) = steps
        .step(
            "a scale is seen by all, and disturbs nobody",
            scales::scale_up(&lab),
        )
        .await
    {
        steps.figure("scale 1 -> 3, healthy and shown", latency);
    }
    if let Some(latency) = steps
        .step(
            "what goes finishes first, then its link is gone",
            scales::scale_down(&lab),
        )
        .await
    {
        steps.figure("scale 3 -> 1, with an answer to finish", latency);
    }
    steps
        .step(
            "a scale that cannot be had is refused before anything is touched",
            scales::refused(&lab),
        )
        .await;
    steps
        .step(
            "a one-off instance is of its service and in nobody's way",
            changing::one_off(&lab),
        )
        .await;
    steps
        .step(
            "a one-off instance is seen, entered and ended by its name",
            changing::one_off_by_name(&lab),
        )
        .await;
    steps
        .step(
            "up applies what has changed, and nothing else",
            changing::changed(&lab, &file),
        )
        .await;
    if let Some(read) = steps
        .step(
            "while a large file is planned, the lab answers",
            changing::large(&lab, &file),
        )
        .await
    {
        steps.figure("an answer while a large file is planned comes with", read);
    }
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
