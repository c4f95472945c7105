//! Exit codes: those that `--help` lists are those that are seen, all of them and no others.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use test_support::eventually;

use crate::setting::{Lab, Setting, UP, said};
use crate::steps::Steps;
use crate::terminal::end_of;

/// Is healthy once its folder says so.
const FILE: &str = r#"
services:
  idle:
    entrypoint: [/bin/sh, -c, "exec sleep 3600"]
    healthcheck: { test: [CMD-SHELL, "[ -e /flags/well ]"], interval: 1s }
    stop_grace_period: 100ms
    volumes: ["./flags:/flags:ro"]
    ports: ["127.0.0.1:${HTTP_PORT}:8000"]
"#;

pub(crate) async fn tell(steps: &mut Steps, setting: &Setting) {
    steps
        .step(
            "every exit code that --help lists is the one that is seen, and no other is",
            seen(setting),
        )
        .await;
}

async fn seen(setting: &Setting) -> Result<()> {
    let flags = setting.folder("codes/flags")?;
    let file = flags.with_file_name("compose.yaml");
    std::fs::write(&file, FILE)?;
    let lab = Lab::new(setting, "codes", file.clone())?;
    let mut seen = BTreeSet::from([interrupted(&lab).await.context("Ctrl-C")?]);

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, lab.http_port))?;
    let told = lab.refused(69, &UP).await.context("a port that is taken")?;
    ensure!(told.contains(&lab.http_port.to_string()), "{told}");
    seen.insert(69);
    drop(listener);

    let told = lab
        .refused(1, &["up", "-d", "--wait-timeout", "1"])
        .await
        .context("a service that is never healthy")?;
    ensure!(
        told.contains("was taken down again; volumes and logs stay"),
        "{told}"
    );
    let crate_of_ours = "services: { web: { x-netns: { run: { cargo: web } } } }\n";
    std::fs::write(&file, crate_of_ours)?;
    let mut without_cargo = lab.command(&UP);
    without_cargo
        .env_remove("NETNS_BIN_DIR")
        .env("CARGO", "/nowhere/cargo");
    let output = tokio::process::Command::from(without_cargo)
        .output()
        .await?;
    let told = said(&output);
    ensure!(
        output.status.code() == Some(69) && told.contains("NETNS_BIN_DIR"),
        "{told}"
    );
    std::fs::write(&file, FILE)?;
    lab.refused(1, &["ps"])
        .await
        .context("a lab that is not up")?;
    seen.insert(1);
    std::fs::write(flags.join("well"), "")?;
    lab.expect(&UP).await?;
    seen.insert(0);
    for (code, argv) in [
        (2, &["ps", "--nonsense"][..]),
        (2, &["scale", "idle"]),
        (2, &["up", "--until", "abc"]),
        (2, &["exec", "-T", "--index", "1", "router", "true"]),
        (2, &["exec", "-T", "--index", "1", "idle-1", "true"]),
        (126, &["exec", "-T", "idle", "/etc/hosts"]),
        (127, &["exec", "-T", "idle", "/nowhere"]),
        (127, &["run", "-T", "--entrypoint", "/nowhere", "idle"]),
    ] {
        lab.refused(code, argv).await?;
        seen.insert(code);
    }
    for argv in [&["config"][..], &["--help"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full")?;
        let output = lab.command(argv).stdout(full).output()?;
        let told = said(&output);
        ensure!(
            output.status.code() == Some(1) && told.contains("standard output"),
            "{argv:?}: {told}"
        );
    }
    let mut nameless = setting.netns_setup();
    let told = said(&nameless.args(["-p", "nosuch", "ps"]).output()?);
    ensure!(
        told.contains("`netns-setup -p nosuch up -d`") && told.contains(&lab.name),
        "{told}"
    );
    // The programs' own are passed on, and say nothing about netns-setup.
    lab.refused(42, &["exec", "-T", "idle", "/bin/sh", "-c", "exit 42"])
        .await?;
    std::fs::write(&file, FILE.replace("ports:", "prots:"))?;
    lab.refused(64, &["config", "--quiet"]).await?;
    seen.insert(64);
    lab.expect(&["down"]).await?;

    let help = lab.expect(&["--help"]).await?;
    let documented = documented(&help).with_context(|| help.clone())?;
    ensure!(
        seen == documented,
        "seen {seen:?}, documented {documented:?}"
    );
    Ok(())
}

/// `up` in the foreground, interrupted while something is not healthy yet.
async fn interrupted(lab: &Lab<'_>) -> Result<i32> {
    let mut up = lab.command(&["up"]);
    let mut up = up.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    eventually("it is coming up", || async {
        let idle = lab.instance("idle-1").await?;
        ensure!(idle.pid.is_some(), "{idle:?}");
        Ok(())
    })
    .await?;
    kill(Pid::from_raw(i32::try_from(up.id())?), Signal::SIGINT)?;
    let code = end_of(&mut up).await?.code().context("a signal")?;
    ensure!(code == 130, "{code}");
    Ok(code)
}

/// The numbers among the words of the list.
fn documented(help: &str) -> Option<BTreeSet<i32>> {
    let (_, list) = help.split_once("Exit codes:")?;
    let words = list.split_whitespace().map(|word| word.trim_matches(':'));
    Some(words.filter_map(|word| word.parse().ok()).collect())
}
