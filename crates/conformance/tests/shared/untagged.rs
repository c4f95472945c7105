//! Images that a test has built and a later build of it has taken the tag from: nobody would miss or remove them.

use anyhow::{Result, ensure};
use test_support::SERVICES;

/// Removes those of a tag; whoever else builds the shop on this engine has another tag, which is in the images as their version.
pub(crate) async fn remove(
    docker: impl AsyncFn(&[&str]) -> Result<String>,
    tag: &str,
) -> Result<()> {
    let version = format!("label=org.opencontainers.image.version={tag}");
    for service in SERVICES {
        let title = format!("label=org.opencontainers.image.title=underlay/{service}");
        let which = [
            "--filter",
            "dangling=true",
            "--filter",
            &title,
            "--filter",
            &version,
        ];
        docker(&[&["image", "prune", "--force"], &which[..]].concat()).await?;
        let left = docker(&[&["image", "ls", "--quiet"], &which[..]].concat()).await?;
        ensure!(left.is_empty(), "{service}: untagged images stay: {left}");
    }
    Ok(())
}
