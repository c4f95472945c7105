//! The engine that answers, and the images that are tried on it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::docker::{docker, expect, mortal};
use crate::stack::compose;
use crate::untagged;

/// Names images that are there, to try them instead of building new ones.
const TAG: &str = "TAG";
/// The tag of those that are built: whoever runs the shop on this engine keeps theirs.
const OWN_TAG: &str = "test";
/// What images are marked with, as `make` does: of no repository, so that it is seen to come from here.
pub(crate) const MARKS: [(&str, &str); 2] = [
    ("REVISION", "0123456789abcdef"),
    ("SOURCE", "https://source.test/underlay"),
];
/// Every dependency, optimised as for production, on a small machine.
pub(crate) const BUILD_DEADLINE: Duration = Duration::from_secs(45 * 60);

/// A Docker engine with Compose.
pub(crate) struct Engine {
    pub(crate) version: String,
    tag: Option<String>,
}

impl Engine {
    /// # Errors
    /// Why there is none.
    pub(crate) async fn find() -> Result<Self> {
        let format = "{{.Server.Version}}";
        let engine = docker(&["version", "--format", format]).await?;
        let compose = docker(&["compose", "version", "--short"]).await?;
        Ok(Self {
            version: format!("Docker {engine}, Compose {compose}"),
            tag: std::env::var(TAG).ok().filter(|tag| !tag.is_empty()),
        })
    }

    /// The tag of the images that are tried.
    pub(crate) fn tag(&self) -> &str {
        self.tag.as_deref().unwrap_or(OWN_TAG)
    }

    /// Whether the images are this test's to build.
    pub(crate) fn builds(&self) -> bool {
        self.tag.is_none()
    }

    /// Builds what is to be tried from this tree, which takes a moment when nothing has changed.
    pub(crate) async fn has_images(&self) -> Result<()> {
        if self.builds() {
            let mut command = mortal("docker");
            command.arg("compose").args(["--progress", "plain"]);
            compose(&mut command, &[]).envs(MARKS).env(TAG, self.tag());
            command.arg("build");
            self.build(command).await?;
        }
        Ok(())
    }

    /// By `docker compose build`, as a person would. Compose marks images with a project's name: for another they are others.
    pub(crate) async fn build(&self, command: Command) -> Result<()> {
        expect(command, BUILD_DEADLINE)
            .await
            .context("building the images; where no image registry is reached, `make airgap` makes their bases")?;
        untagged::remove(
            async |arguments: &[&str]| docker(arguments).await,
            self.tag(),
        )
        .await
    }
}

/// The folder of docker-compose.yml.
pub(crate) fn project() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).unwrap_or(own).to_owned()
}
