//! A restore that is killed.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::rows::{Rows, rows};
use super::{backups, expect};
use crate::setting::{Lab, Setting, UP, said};
use crate::shop::order;

/// Kills a restore at each of its steps from the first that writes: rows are those of before or those that were saved, all of them.
pub(super) async fn killed(
    lab: &Lab<'_>,
    setting: &Setting,
    folder: &Path,
    saved: &Rows,
) -> Result<String> {
    let deadly = deadly(setting)?;
    let (mut kept, mut replaced) = (0, 0);
    // Which call of its program it is killed after; the fourth to the database postgres exchanges the names.
    for (call, nth) in [
        ("pg_restore", 2),
        ("stop order-service", 1),
        ("--dbname postgres", 4),
        ("--scan", 1),
        ("start product-service", 1),
    ] {
        order(lab).await?;
        let old = rows(lab).await?;
        ensure!(old != *saved, "an order has changed nothing");
        let _ = std::fs::remove_file(backups(lab).join("calls")); // of the one before
        let script = format!(
            "NETNS_SETUP={} DIES_AFTER='{call}' NTH={nth} FORCE=1 FROM={} TO={} exec setsid -w docker/ops/restore.sh",
            deadly.display(),
            folder.display(),
            backups(lab).display()
        );
        let output = lab.shell(&script).await?;
        let is_killed = output.status.code() == Some(137) || output.status.signal() == Some(9);
        ensure!(is_killed, "after {call}: {}", said(&output));
        lab.expect(&UP).await?;
        let is = rows(lab).await?;
        match (is == old, is == *saved) {
            (true, _) => kept += 1,
            (_, true) => replaced += 1,
            _ => anyhow::bail!("killed after {call}: neither old nor new rows: {is:#?}"),
        }
        order(lab).await?; // the shop is whole
    }
    ensure!(kept > 0 && replaced > 0, "{kept} kept, {replaced} replaced");
    expect(
        lab,
        &format!("FORCE=1 FROM={}", folder.display()),
        "restore",
    )
    .await?;
    ensure!(rows(lab).await? == *saved, "a restore after killed ones");
    Ok(format!("{kept} left the old rows, {replaced} the new"))
}

/// netns-setup that, once it has done the call that `DIES_AFTER` and `NTH` name, kills its caller and all who belong to it.
fn deadly(setting: &Setting) -> Result<PathBuf> {
    let program = setting.folder("deadly")?.join("netns-setup");
    std::fs::write(
        &program,
        "#!/bin/sh\n\
         echo \"$*\" >>\"$TO/calls\"\n\
         nth=$(grep -c -e \"$DIES_AFTER\" \"$TO/calls\")\n\
         netns-setup \"$@\"\n\
         code=$?\n\
         case \"$*\" in *\"$DIES_AFTER\"*) [ \"$nth\" -ne \"$NTH\" ] || kill -KILL 0 ;; esac\n\
         exit $code\n",
    )?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    Ok(program)
}
