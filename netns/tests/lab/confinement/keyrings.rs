//! The caller's keys stay with the caller (`keyrings(7)`), and a lab takes one of the few that a user may have.

use std::process::Command;

use anyhow::{Result, ensure};
use test_support::eventually;

use crate::probe::caller::{self, GROUP};
use crate::setting::{Lab, Setting, UP, said};

/// What the caller's session keyring is called.
const CALLERS: &str = "underlay-lab-callers";
/// What the lab has instead: nobody may search, read or change it; its owner sees that it is there.
const CLOSED: &str = "keyring;0;0;00010000;_ses\n";
/// An ordinary user, of whom nothing is on this machine, without keys either.
const KEYLESS: u32 = 61_240;

/// Several services, one of which is asked how it is: each of these programs comes into a sandbox.
const FILE: &str = r#"
x-common: &common
  entrypoint: [/bin/sh, -c, "exec sleep 3600"]
  stop_grace_period: 100ms
  networks: [only]
services:
  one: { <<: *common, deploy: { replicas: 6 } }
  two:
    <<: *common
    healthcheck: { test: [CMD, /bin/true], interval: 1s }
networks:
  only: { ipam: { config: [ { subnet: 10.77.3.0/24 } ] } }
"#;

fn behind(setting: &Setting, left: &str) -> Command {
    let mut command = Command::new(setting.own_program());
    command.args([caller::ARGUMENT, CALLERS, left]);
    command
}

/// Brings the lab up as a caller with a keyring does, and with a group where that is root. What runs in the lab has another keyring, which
/// is closed; that it has no groups is seen in `/proc`.
///
/// Seen from the router, where a program may ask the kernel, which none in a sandbox may. All of them have the first process's.
pub(super) async fn stay_outside(setting: &Setting, lab: &Lab<'_>) -> Result<()> {
    let own = setting.own_program();
    let describe = [&own.to_string_lossy(), caller::ARGUMENT];
    let outside = behind(setting, "-").args(describe).output()?;
    let outside = String::from_utf8(outside.stdout)?;
    ensure!(
        outside.starts_with("keyring;") && outside.ends_with(&format!(";{CALLERS}\n")),
        "the caller's keyring: {outside}"
    );
    if setting.is_root() {
        let groups = behind(setting, "-").args(["id", "-G"]).output()?;
        let words = String::from_utf8(groups.stdout)?;
        let has = words.split_whitespace().any(|id| id == GROUP.to_string());
        ensure!(has, "the caller's groups: {words}");
    }
    let up = lab.command_behind(Some(behind(setting, "-")), &UP);
    let up = tokio::process::Command::from(up).output().await?;
    ensure!(up.status.success(), "{}", said(&up));
    let exec = [&["exec", "-T", "router"], &describe[..]].concat();
    let inside = lab.expect(&exec).await?;
    ensure!(inside == CLOSED, "the lab's keyring: {inside}");
    Ok(())
}

/// A user who may have no more keys is told what to do; one who may have one brings a lab of several sandboxes up.
pub(super) async fn are_few(setting: &Setting) -> Result<()> {
    let file = setting.folder("keys")?.join("compose.yaml");
    std::fs::write(&file, FILE)?;
    let user = setting.user(KEYLESS)?;
    let lab = Lab::new(setting, "keys", file)?.of(&user)?;
    let up = async |left: &str| {
        let up = lab.command_behind(Some(behind(setting, left)), &UP);
        tokio::process::Command::from(up).output().await
    };
    let told = said(&up("0").await?);
    ensure!(
        told.contains("start a session keyring") && told.contains("sysctl -w kernel.keys.maxkeys="),
        "{told}"
    );
    let left = lab.run(&["ls"]).await?;
    ensure!(!said(&left).contains("keys "), "{}", said(&left));
    // The kernel frees a caller's keys some time after it has ended: they would count as the next one's.
    eventually("the keys are free", || async { no_keys() }).await?;
    let told = up("1").await?;
    ensure!(told.status.success(), "{}", said(&told));
    lab.expect(&["down"]).await?;
    Ok(())
}

/// Whether the kernel counts none of that user's (`/proc/key-users`, keyrings(7)).
fn no_keys() -> Result<()> {
    let users = std::fs::read_to_string("/proc/key-users")?;
    let user = format!("{KEYLESS}:");
    let mut lines = users.lines();
    let line = lines.find(|line| line.trim_start().starts_with(&user));
    let in_quota = line.and_then(|line| line.split_whitespace().nth(3)?.split('/').next());
    ensure!(matches!(in_quota, None | Some("0")), "{line:?}");
    Ok(())
}
