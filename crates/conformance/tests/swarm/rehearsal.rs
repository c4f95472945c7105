//! The hosts, by the scripts that people use.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use test_support::SERVICES;
use tokio::process::Command;

use crate::command::{expect, mortal, project};
use crate::instead;
use crate::untagged;

pub(crate) const HOSTS: usize = 3;
/// The scripts' folder of all rehearsals.
const STATE: &str = "/var/lib/underlay-swarm";
/// Of images that are built from this tree, here and for the Compose test.
const OWN_TAG: &str = "test";
/// The stack's name.
pub(crate) const STACK: &str = "underlay";

/// Whether this machine can play hosts.
///
/// # Errors
/// Why not.
pub(crate) async fn is_possible() -> Result<()> {
    let id = expect({
        let mut id = mortal("id");
        id.arg("-u");
        id
    });
    ensure!(id.await? == "0", "hosts of their own need root");
    for program in ["dockerd", "docker"] {
        let mut version = mortal(program);
        version.arg("--version");
        expect(version)
            .await
            .with_context(|| format!("there is no {program}"))?;
    }
    let mut engine = mortal("docker");
    engine.args(["version", "--format", "{{.Server.Version}}"]);
    expect(engine)
        .await
        .context("no Docker engine answers that has the images")?;
    Ok(())
}

/// Ends rehearsals of tests that were killed.
pub(crate) async fn sweep() -> Result<()> {
    let Ok(entries) = std::fs::read_dir(STATE) else {
        return Ok(());
    };
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(pid) = name.strip_prefix("test-")
            && !Path::new("/proc").join(pid).exists()
        {
            Rehearsal { name }.down().await?;
        }
    }
    Ok(())
}

/// Three hosts of one Swarm.
pub(crate) struct Rehearsal {
    pub(crate) name: String,
}

impl Rehearsal {
    pub(crate) fn new() -> Self {
        let name = format!("test-{}", std::process::id());
        Self { name }
    }

    pub(crate) fn state(&self) -> PathBuf {
        Path::new(STATE).join(&self.name)
    }

    /// A script of docker/ops against a host, for the stack there.
    pub(crate) fn operation(&self, name: &str, host: usize) -> Command {
        let mut command = mortal(project().join("docker/ops").join(name));
        command
            .env("WAY", "swarm")
            .env("DOCKER_HOST", self.engine(host))
            .env("XDG_STATE_HOME", self.state().join("secrets"));
        command
    }

    /// `make TARGET` against the manager, as a person would.
    pub(crate) fn make(&self, target: &str) -> Command {
        let mut command = mortal("make");
        command
            .args(["--no-print-directory", target])
            .env("TAG", tag())
            .env("DOCKER_HOST", self.engine(1))
            .env("XDG_STATE_HOME", self.state().join("secrets"));
        command
    }

    /// Variables with which a script runs `text` where it means docker, which is `$REAL_DOCKER` there.
    pub(crate) fn instead_of_docker(&self, name: &str, text: &str) -> Result<[(&str, String); 2]> {
        let folder = self.state().join(name);
        std::fs::create_dir(&folder)?;
        instead::of_docker(&folder, text)
    }

    fn script(&self, name: &str) -> Command {
        let mut command = mortal(project().join("docker/swarm").join(name));
        command.env("REHEARSAL", &self.name).env("TAG", tag());
        command
    }

    pub(crate) async fn hosts(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.script("hosts.sh");
        command.args(arguments);
        expect(command).await
    }

    pub(crate) async fn up(&self) -> Result<()> {
        self.hosts(&["up", &HOSTS.to_string()]).await?;
        Ok(())
    }

    pub(crate) async fn down(&self) -> Result<()> {
        self.hosts(&["down"]).await?;
        Ok(())
    }

    /// The images, where they are needed, and of each service a second tag to update to.
    pub(crate) async fn load(&self) -> Result<()> {
        let mut images = self.script("rehearse.sh");
        images.env("ONLY", "images").arg(HOSTS.to_string());
        if given_tag().is_none() {
            images.env("BUILD", "1");
        }
        expect(images).await?;
        if given_tag().is_none() {
            let docker = async |arguments: &[&str]| {
                let mut command = mortal("docker");
                command.args(arguments);
                expect(command).await
            };
            untagged::remove(docker, OWN_TAG).await?;
        }
        for host in 1..=HOSTS {
            for service in SERVICES {
                let image = format!("underlay/{service}");
                let (now, next) = (format!("{image}:{}", tag()), format!("{image}:next"));
                self.docker(host, &["tag", &now, &next]).await?;
            }
        }
        Ok(())
    }

    /// Deploys the stack; how many seconds it took until every task was healthy.
    pub(crate) async fn deploy(&self) -> Result<f64> {
        let began = now();
        expect({
            let mut command = self.script("rehearse.sh");
            command.arg(HOSTS.to_string());
            command
        })
        .await?;
        Ok(began.elapsed().as_secs_f64())
    }

    /// `docker ARGUMENTS` against a host's engine.
    pub(crate) async fn docker(&self, host: usize, arguments: &[&str]) -> Result<String> {
        let mut command = mortal("docker");
        command
            .args(arguments)
            .env("DOCKER_HOST", self.engine(host));
        expect(command).await
    }

    /// `docker/swarm/deploy.sh` against a host, with the rehearsal's secrets.
    pub(crate) fn deployment(&self, host: usize) -> Command {
        let mut command = self.script("deploy.sh");
        command
            .arg("--resolve-image=never")
            .env("DOCKER_HOST", self.engine(host))
            .env("XDG_STATE_HOME", self.state().join("secrets"));
        command
    }

    pub(crate) fn engine(&self, host: usize) -> String {
        format!("unix://{}/{host}/docker.sock", self.state().display())
    }

    pub(crate) fn address(&self, host: usize) -> String {
        let network = std::fs::read_to_string(self.state().join("network")).unwrap_or_default();
        format!("{}.{host}", network.trim())
    }

    /// The shop as it answers at a host.
    pub(crate) fn url(&self, host: usize) -> String {
        format!("http://{}:8080", self.address(host))
    }

    /// At each host.
    pub(crate) fn urls(&self) -> Vec<String> {
        (1..=HOSTS).map(|host| self.url(host)).collect()
    }

    pub(crate) fn secret(&self, name: &str) -> Result<String> {
        let path = self
            .state()
            .join(format!("secrets/underlay/{STACK}/master/{name}"));
        std::fs::read_to_string(&path).with_context(|| path.display().to_string())
    }

    /// Where a service's tasks run well: a host's number for each.
    pub(crate) async fn tasks(&self, service: &str) -> Result<Vec<usize>> {
        let service = format!("{STACK}_{service}");
        let format = "{{.Node}} {{.CurrentState}}";
        let listed = self
            .docker(
                1,
                &[
                    "service",
                    "ps",
                    "--filter",
                    "desired-state=running",
                    "--format",
                    format,
                    &service,
                ],
            )
            .await?;
        let mut hosts = Vec::new();
        for line in listed.lines().filter(|line| line.contains(" Running ")) {
            let host = line
                .split(' ')
                .next()
                .and_then(|name| name.strip_prefix("host"));
            match host.and_then(|number| number.parse().ok()) {
                Some(host) => hosts.push(host),
                None => bail!("{service}: {line}"),
            }
        }
        Ok(hosts)
    }
}

/// The tag that was asked for: of images that are there, and are tried as they are.
fn given_tag() -> Option<String> {
    std::env::var("TAG").ok().filter(|tag| !tag.is_empty())
}

/// Which images are tried.
pub(crate) fn tag() -> String {
    given_tag().unwrap_or_else(|| OWN_TAG.into())
}

#[expect(clippy::disallowed_methods, reason = "it measures real hosts")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
