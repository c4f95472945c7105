//! One stack: a project name, Compose files, and ports and subnets that nobody else uses.

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::process::{Child, Output};
use std::time::Duration;

use anyhow::{Context, Result};
use ipnet::Ipv4Net;
use serde_json::Value;
use test_support::free_local_address;
use tokio::process::Command;

use crate::docker::{docker, expect, inspect, mortal, run};
use crate::engine::{Engine, MARKS, project};
use crate::leftovers::{BESIDE, own_name, remove, watcher};

pub(crate) const DEADLINE: Duration = Duration::from_secs(150);
/// `docker compose` brings a stack up and returns when all of it is healthy.
pub(crate) const UP: [&str; 3] = ["up", "--detach", "--wait"];
const FILE: &str = "docker-compose.yml";

/// Adds what every call of Compose names: the project's files, in its folder, and nothing that the caller has exported.
pub(crate) fn compose<'a>(command: &'a mut Command, overrides: &[&str]) -> &'a mut Command {
    for file in std::iter::once(&FILE).chain(overrides) {
        command.args(["--file", file]);
    }
    for variable in [
        "COMPOSE_FILE",
        "COMPOSE_PROFILES",
        "COMPOSE_PROJECT_NAME",
        "COMPOSE_ENV_FILES",
        "IMAGES",
    ] {
        command.env_remove(variable);
    }
    command.current_dir(project())
}

/// Removed with all it holds when this value is dropped or the test is gone, however that ended.
pub(crate) struct Stack {
    pub(crate) name: String,
    overrides: Vec<&'static str>,
    environment: Vec<(&'static str, String)>,
    pub(crate) http_port: u16,
    pub(crate) gateway_port: u16,
    pub(crate) admin_port: u16,
    /// The first three numbers of a subnet that is free and used by the flat override alone.
    pub(crate) spare_prefix: String,
    /// The file as Compose understands it.
    pub(crate) config: Value,
    watcher: Child,
}

/// One container of a stack, as `docker inspect` tells it.
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) service: String,
    pub(crate) state: Value,
}

impl Stack {
    /// Of docker-compose.yml and `overrides`; nothing is brought up yet.
    pub(crate) async fn new(
        engine: &Engine,
        story: &str,
        overrides: &[&'static str],
    ) -> Result<Self> {
        let port = || free_local_address().port();
        let (http_port, gateway_port, admin_port) = (port(), port(), port());
        let name = own_name(story);
        let mut environment = vec![
            ("TAG", engine.tag().to_owned()),
            // As it was built: to build it once more makes nothing new.
            (MARKS[0].0, MARKS[0].1.to_owned()),
            (MARKS[1].0, MARKS[1].1.to_owned()),
            ("HTTP_PORT", http_port.to_string()),
            ("GATEWAY_PORT", gateway_port.to_string()),
            ("ADMIN_PORT", admin_port.to_string()),
        ];
        let [frontend, backend, database, spare_prefix] = free_prefixes().await?;
        environment.extend([
            ("FRONTEND_PREFIX", frontend),
            ("BACKEND_PREFIX", backend),
            ("DATABASE_PREFIX", database),
            ("APP_PREFIX", spare_prefix.clone()),
        ]);
        let mut stack = Self {
            watcher: watcher(&name)?,
            name,
            overrides: overrides.to_vec(),
            environment,
            http_port,
            gateway_port,
            admin_port,
            spare_prefix,
            config: Value::Null,
        };
        let config = stack.compose(&["config", "--format", "json"]).await?;
        stack.config = serde_json::from_str(&config).context("docker compose config")?;
        Ok(stack)
    }

    /// The public door from the host.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http_port)
    }

    /// What the variable of the Compose file is in this stack.
    pub(crate) fn variable(&self, name: &str) -> Result<&str> {
        let mut all = self.environment.iter();
        let (_, value) = all.find(|(key, _)| *key == name).context(name.to_owned())?;
        Ok(value)
    }

    /// `docker compose ARGUMENTS` on this stack, not yet run.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = mortal("docker");
        command.arg("compose");
        self.complete(command, arguments)
    }

    /// The same by the first Compose, a program of its own.
    pub(crate) fn old_command(&self, arguments: &[&str]) -> Command {
        self.complete(mortal("docker-compose"), arguments)
    }

    fn complete(&self, mut command: Command, arguments: &[&str]) -> Command {
        command.args(["--project-name", &self.name]);
        compose(&mut command, &self.overrides)
            .args(arguments)
            .envs(self.environment.iter().map(|(key, value)| (key, value)));
        command
    }

    /// A script of the project for this stack, with further variables, whatever comes of it.
    pub(crate) async fn script(&self, path: &str, variables: &[(&str, &OsStr)]) -> Result<Output> {
        let mut command = mortal("sh");
        command
            .arg(path)
            .current_dir(project())
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .env("COMPOSE_PROJECT_NAME", &self.name)
            .envs(variables.iter().copied());
        run(command, DEADLINE).await
    }

    /// `docker compose ARGUMENTS` on this stack, insisting on success: its standard output.
    pub(crate) async fn compose(&self, arguments: &[&str]) -> Result<String> {
        expect(self.command(arguments), DEADLINE).await
    }

    /// Brings it up, waiting until all of it is healthy; what the containers say goes into the error when it is not.
    pub(crate) async fn up(&self, further: &[&str]) -> Result<()> {
        let up = self.compose(&[&UP, further].concat()).await;
        if up.is_err() {
            let logs = self.compose(&["logs", "--tail", "12"]).await;
            return up.map(drop).context(logs.unwrap_or_default());
        }
        Ok(())
    }

    /// Every container of it, completed ones too.
    pub(crate) async fn containers(&self) -> Result<Vec<Container>> {
        let label = format!("label=com.docker.compose.project={}", self.name);
        let ids = docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &label]).await?;
        let ids: Vec<&str> = ids.lines().collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let all = docker(&[&["container", "inspect"], &*ids].concat()).await?;
        let all: Vec<Value> = serde_json::from_str(&all)?;
        let mut containers = all
            .into_iter()
            .map(Container::try_from)
            .collect::<Result<Vec<_>>>()?;
        containers.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(containers)
    }

    /// Those that run.
    pub(crate) async fn running(&self) -> Result<Vec<Container>> {
        let mut all = self.containers().await?;
        all.retain(|container| container.state["State"]["Running"] == true);
        Ok(all)
    }

    /// Services of the file in their order.
    pub(crate) fn services(&self) -> Result<impl Iterator<Item = (&String, &Value)>> {
        let services = self.config["services"].as_object().context("services")?;
        Ok(services.iter())
    }

    /// Runs a shell script in a throw-away container of the one image of the stack that has a shell, joined to others by
    /// `joins` (`--network container:X`, ...): its standard output.
    pub(crate) async fn inside(
        &self,
        joins: &[&str],
        script: &str,
        arguments: &[String],
    ) -> Result<String> {
        let image = self.config["services"]["postgres"]["image"].as_str();
        let label = format!("{BESIDE}={}", self.name);
        let mut command = mortal("docker");
        command
            .args(["run", "--rm", "--label", &label, "--entrypoint", "bash"])
            .args(joins)
            .arg(image.context("the image of postgres")?)
            .args(["-c", script, "probe"])
            .args(arguments);
        expect(command, DEADLINE).await
    }
}

impl TryFrom<Value> for Container {
    type Error = anyhow::Error;

    fn try_from(state: Value) -> Result<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned).context("a text");
        Ok(Self {
            id: text(&state["Id"])?,
            name: text(&state["Name"])?.trim_start_matches('/').to_owned(),
            service: text(&state["Config"]["Labels"]["com.docker.compose.service"])?,
            state,
        })
    }
}

impl Container {
    /// Its first process, as the engine's host numbers it.
    pub(crate) fn pid(&self) -> Result<u64> {
        let pid = self.state["State"]["Pid"].as_u64();
        pid.filter(|pid| *pid > 0)
            .with_context(|| format!("{} does not run", self.name))
    }

    pub(crate) fn is_healthy(&self) -> bool {
        self.state["State"]["Health"]["Status"] == "healthy"
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        remove(&self.name, self.watcher.stdin.take());
        let _ = self.watcher.wait();
    }
}

/// Four /24 side by side that no route of this machine and no network of the engine covers.
async fn free_prefixes() -> Result<[String; 4]> {
    let mut taken: Vec<Ipv4Net> = Vec::new();
    let networks = docker(&["network", "ls", "--quiet"]).await?;
    for network in networks.lines() {
        for config in inspect("network", network).await?["IPAM"]["Config"]
            .as_array()
            .into_iter()
            .flatten()
        {
            taken.extend(
                config["Subnet"]
                    .as_str()
                    .and_then(|net| net.parse::<Ipv4Net>().ok()),
            );
        }
    }
    taken.extend(routes(&std::fs::read_to_string("/proc/net/route")?));
    for _ in 0..100 {
        let [second, third, ..] = uuid::Uuid::new_v4().into_bytes();
        // Far from what people and packages choose.
        let base = Ipv4Addr::new(10, second | 128, third & !3, 0);
        let block = Ipv4Net::new(base, 22)?;
        if taken.iter().all(|net| !overlap(net, &block)) {
            return Ok([0, 1, 2, 3].map(|tier| {
                let [first, second, third, _] = base.octets();
                format!("{first}.{second}.{}", third + tier)
            }));
        }
    }
    anyhow::bail!("every subnet tried is taken: {taken:?}")
}

fn overlap(one: &Ipv4Net, other: &Ipv4Net) -> bool {
    one.contains(other) || other.contains(one)
}

/// The routes of /proc/net/route but the default one: numbers in hexadecimal, as they lie in memory.
fn routes(table: &str) -> Vec<Ipv4Net> {
    let number = |field: &str| {
        let number = u32::from_str_radix(field, 16).ok()?;
        Some(Ipv4Addr::from(number.to_ne_bytes()))
    };
    let lines = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        Ipv4Net::with_netmask(number(fields.get(1)?)?, number(fields.get(7)?)?).ok()
    });
    lines.filter(|net| net.prefix_len() > 0).collect()
}
