//! The end of a lab whose first process or whose launcher is killed, seen from the host.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use netns_setup::plan::link_name;
use nix::net::if_::if_nametoindex;
use test_support::eventually;

use super::lab;
use crate::instance::kill_process;
use crate::playhost::PlayHost;
use crate::setting::{Setting, UP};

/// Kills the one or the other when the first process runs, when the link is made, and when its routes stand.
pub(super) async fn tell(setting: &Setting, file: &Path, play: &PlayHost) -> Result<()> {
    let before = play.host.everything()?;
    let lab = lab(setting, "uplink", file, play)?;
    let link = link_name(&lab.name, &lab.state().to_string_lossy());
    let [_, back] = lab.prefixes();
    let has_link = || play.host.inside(|| if_nametoindex(link.as_str()).is_ok());
    let has_route = || {
        Ok::<_, anyhow::Error>(
            play.host
                .shell("ip route")?
                .contains(&format!("{back}.0/24")),
        )
    };
    let has_pid = || Ok::<_, anyhow::Error>(lab.state().join("pid").exists());
    for whose in ["launcher", "first process"] {
        for (point, is_there) in [
            (
                "the first process runs",
                &has_pid as &dyn Fn() -> Result<bool>,
            ),
            ("the link is made", &has_link),
            ("the routes lead there", &has_route),
        ] {
            let mut launcher = lab.spawn(&UP)?;
            while !is_there().with_context(|| point.to_owned())? {
                ensure!(launcher.try_wait()?.is_none(), "it ended before {point}");
                tokio::task::yield_now().await;
            }
            match whose {
                "launcher" => launcher.start_kill()?,
                _ => {
                    // Written whole a moment after it is made; its beginning stands behind it.
                    let pid = eventually("its number", || async {
                        let noted = std::fs::read_to_string(lab.state().join("pid"))?;
                        let pid = noted.split_whitespace().next().context("empty")?;
                        Ok(pid.parse()?)
                    });
                    kill_process(pid.await?)?;
                }
            }
            launcher.wait().await?;
            eventually("nothing is left", || async {
                let now = play.host.everything()?;
                let left: Vec<&String> = now
                    .keys()
                    .filter(|name| !before.contains_key(*name))
                    .collect();
                ensure!(left.is_empty(), "{whose} killed when {point}: {left:#?}");
                Ok(())
            })
            .await?;
            ensure!(
                play.host.everything()? == before,
                "{whose} killed when {point}: something is missing"
            );
        }
    }
    // Killed when it stands, and up again at once: the former one's end is waited for.
    lab.up(&[]).await?;
    kill_process(lab.first_process().await?)?;
    let told = lab.up(&[]).await?;
    ensure!(
        told.contains("from this host also") && !told.contains("note:"),
        "{told}"
    );
    ensure!(
        lab.status().await?["uplink"]["link"] == link,
        "another name"
    );
    lab.expect(&["down"]).await.map(drop)
}
