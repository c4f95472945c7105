//! One lab.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::user::User;
use super::{STATE_DIR, Setting, UP, behind, said};
use crate::playhost::within;

/// A command that takes longer hangs. `up` gives up on its own before.
const COMMAND_DEADLINE: Duration = Duration::from_secs(150);

/// One lab: a project name, a Compose file, and ports and prefixes nobody else uses.
pub(crate) struct Lab<'a> {
    setting: &'a Setting,
    pub(crate) name: String,
    file: PathBuf,
    overrides: Vec<PathBuf>,
    environment: Vec<(String, String)>,
    /// The network namespace that it takes for the host's; none: this test's own.
    host: Option<PathBuf>,
    /// Whose it is; none: of whoever runs this test.
    owner: Option<User>,
    pub(crate) http_port: u16,
    pub(crate) admin_port: u16,
    /// Takes the lab down when this test is gone, however it ends; see [`watcher`].
    watcher: Option<std::process::Child>,
}

impl<'a> Lab<'a> {
    pub(crate) fn new(setting: &'a Setting, name: &str, file: PathBuf) -> Result<Self> {
        let octets = |address: std::net::SocketAddr| address.ip().to_string();
        let prefix = |tier: u8| {
            let ip = octets(test_support::free_address());
            let mut parts = ip.split('.').skip(1);
            format!("10.{}.{}", parts.next().unwrap_or("77"), tier)
        };
        // In the order of the file's own: 3000, 3001, 8080.
        let [gateway_port, admin_port, http_port] = free_ports()?;
        let mut environment = vec![
            ("FRONTEND_PREFIX".to_owned(), prefix(20)),
            ("BACKEND_PREFIX".to_owned(), prefix(21)),
            ("DATABASE_PREFIX".to_owned(), prefix(22)),
        ];
        for (key, port) in [
            ("HTTP_PORT", http_port),
            ("GATEWAY_PORT", gateway_port),
            ("ADMIN_PORT", admin_port),
        ] {
            environment.push((key.to_owned(), port.to_string()));
        }
        let mut lab = Self {
            setting,
            name: name.into(),
            file,
            overrides: Vec::new(),
            environment,
            host: None,
            owner: None,
            http_port,
            admin_port,
            watcher: None,
        };
        lab.watcher = Some(watcher(&lab.command(&["down", "--volumes"]))?);
        Ok(lab)
    }

    /// The same lab with a further Compose file, which overrides the first.
    pub(crate) fn with(mut self, file: PathBuf) -> Self {
        self.overrides.push(file);
        self
    }

    /// The public door from the host.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http_port)
    }

    /// The folder with this lab's volumes and logs.
    pub(crate) fn state(&self) -> PathBuf {
        if let Some(owner) = &self.owner {
            return owner.state().join(&self.name);
        }
        let mut moved = self.environment.iter().rev();
        let base = match moved.find(|(key, _)| key == STATE_DIR) {
            Some((_, base)) => PathBuf::from(base),
            None => self.setting.scratch.path().join("state"),
        };
        base.join(&self.name)
    }

    /// The same in all but the folder of its state.
    pub(crate) fn twin(&self, base: &Path) -> Result<Self> {
        let mut environment = self.environment.clone();
        environment.push((STATE_DIR.to_owned(), base.to_string_lossy().into_owned()));
        let mut twin = Self {
            setting: self.setting,
            name: self.name.clone(),
            file: self.file.clone(),
            overrides: self.overrides.clone(),
            environment,
            host: self.host.clone(),
            owner: self.owner.clone(),
            http_port: self.http_port,
            admin_port: self.admin_port,
            watcher: None,
        };
        twin.watcher = Some(watcher(&twin.command(&["down", "--volumes"]))?);
        Ok(twin)
    }

    /// Its Compose file.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// netns-setup on this lab, not yet run.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_behind(None, arguments)
    }

    /// The same, run by a program of the lab's owner's.
    pub(crate) fn command_behind(&self, outer: Option<Command>, arguments: &[&str]) -> Command {
        let mut command = self.setting.netns_setup();
        command.arg("-p").arg(&self.name).arg("-f").arg(&self.file);
        for file in &self.overrides {
            command.arg("-f").arg(file);
        }
        command.args(arguments);
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        if arguments.first() == Some(&"up") {
            command = self.setting.delegation.give(command);
        }
        if let Some(outer) = outer {
            command = behind(outer, &command);
        }
        match (&self.host, &self.owner) {
            (Some(host), _) => within(host, &command),
            (None, Some(owner)) => owner.own(&mut command),
            (None, None) => command,
        }
    }

    /// The same lab, of another user of this machine, who keeps it at home.
    pub(crate) fn of(mut self, owner: &User) -> Result<Self> {
        self.owner = Some(owner.clone());
        drop(self.watcher.take()); // it waits for nothing that was brought up
        self.watcher = Some(watcher(&self.command(&["down", "--volumes"]))?);
        Ok(self)
    }

    /// The same lab, on a host whose network is played.
    pub(crate) fn on(mut self, host: PathBuf) -> Self {
        self.host = Some(host);
        self
    }

    /// The same lab with another's subnets.
    pub(crate) fn with_prefixes_of(mut self, other: &Self) -> Self {
        let subnets = |(key, _): &&(String, String)| key.ends_with("_PREFIX");
        let theirs = other.environment.iter().filter(subnets).cloned();
        self.environment.extend(theirs);
        self
    }

    /// The first three bytes of the frontend's and the backend's addresses.
    pub(crate) fn prefixes(&self) -> [String; 2] {
        ["FRONTEND_PREFIX", "BACKEND_PREFIX"].map(|name| {
            let mut last = self.environment.iter().rev();
            last.find(|(key, _)| key == name)
                .map_or_else(String::new, |(_, value)| value.clone())
        })
    }

    /// Brings it up in the background: what that said.
    pub(crate) async fn up(&self, arguments: &[&str]) -> Result<String> {
        self.up_with("NETNS_SETUP_TEST", "", arguments).await
    }

    /// The same with one more variable in its environment.
    pub(crate) async fn up_with(
        &self,
        key: &str,
        value: &str,
        arguments: &[&str],
    ) -> Result<String> {
        let mut command = self.command(&[&UP, arguments].concat());
        command.env(key, value);
        let output = tokio::process::Command::from(command).output().await?;
        ensure!(output.status.success(), "up: {}", said(&output));
        Ok(said(&output))
    }

    /// Starts netns-setup on this lab, and goes on.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Result<tokio::process::Child> {
        let mut command = tokio::process::Command::from(self.command(arguments));
        let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
        Ok(quiet.kill_on_drop(true).spawn()?)
    }

    /// Runs netns-setup on this lab, whatever comes of it.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = tokio::process::Command::from(self.command(arguments));
        let running = command.kill_on_drop(true).output();
        let said = format!("netns-setup {}", arguments.join(" "));
        tokio::time::timeout(COMMAND_DEADLINE, running)
            .await
            .with_context(|| format!("{said}: hangs"))?
            .context(said)
    }

    /// Stays with the prefixes of the Compose file: what a page about it shows. As an ordinary user's they meet nobody's.
    pub(crate) fn use_default_prefixes(&mut self) {
        self.environment
            .retain(|(key, _)| !key.ends_with("_PREFIX"));
    }

    /// Ports and prefixes as the Compose file has them, each with what this lab has instead.
    pub(crate) fn defaults(&self) -> Vec<(&'static str, String)> {
        [
            ("8080", "HTTP_PORT"),
            ("3000", "GATEWAY_PORT"),
            ("172.20.0", "FRONTEND_PREFIX"),
            ("172.21.0", "BACKEND_PREFIX"),
            ("172.22.0", "DATABASE_PREFIX"),
        ]
        .into_iter()
        .filter_map(|(default, key)| {
            let (_, own) = self.environment.iter().find(|(name, _)| name == key)?;
            Some((default, own.clone()))
        })
        .collect()
    }

    /// Runs what a person would type in the project's folder, `netns-setup` being on the PATH.
    pub(crate) async fn shell(&self, script: &str) -> Result<Output> {
        let setup = self.command(&[]);
        let folder = self
            .setting
            .setup
            .parent()
            .context("the folder of netns-setup")?;
        let mut command = Command::new("/bin/sh");
        command.env_clear().args(["-c", script]);
        for (key, value) in setup.get_envs() {
            if let Some(value) = value {
                command.env(key, value);
            }
        }
        let path = format!(
            "{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            folder.display()
        );
        command
            .env("PATH", path)
            .env("COMPOSE_PROJECT_NAME", &self.name)
            .current_dir(&self.setting.project)
            .stdin(Stdio::null());
        let mut command = tokio::process::Command::from(command);
        tokio::time::timeout(COMMAND_DEADLINE, command.kill_on_drop(true).output())
            .await
            .with_context(|| format!("{script}: hangs"))?
            .with_context(|| script.to_owned())
    }

    /// Runs netns-setup on this lab and insists on success: its standard output.
    pub(crate) async fn expect(&self, arguments: &[&str]) -> Result<String> {
        let output = self.run(arguments).await?;
        ensure!(
            output.status.success(),
            "netns-setup {}: {}",
            arguments.join(" "),
            said(&output)
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs netns-setup on this lab and insists on a refusal with this exit code: what it said.
    pub(crate) async fn refused(&self, code: i32, arguments: &[&str]) -> Result<String> {
        let output = self.run(arguments).await?;
        let said = said(&output);
        ensure!(
            output.status.code() == Some(code),
            "netns-setup {}: expected exit code {code}: {said}",
            arguments.join(" ")
        );
        Ok(said)
    }

    /// Runs a program inside an instance's sandbox.
    pub(crate) async fn exec(&self, instance: &str, argv: &[&str]) -> Result<Output> {
        let arguments: Vec<&str> = ["exec", "-T", instance]
            .into_iter()
            .chain(argv.iter().copied())
            .collect();
        self.run(&arguments).await
    }

    /// How the lab stands.
    pub(crate) async fn status(&self) -> Result<Value> {
        Ok(serde_json::from_str(
            &self.expect(&["ps", "--json"]).await?,
        )?)
    }
}

impl Drop for Lab<'_> {
    fn drop(&mut self) {
        if let Some(mut watcher) = self.watcher.take() {
            drop(watcher.stdin.take());
            let _ = watcher.wait();
        }
    }
}

/// Ports of the loopback interface that nobody listens on, each another, ascending. Held until all are drawn.
fn free_ports() -> Result<[u16; 3]> {
    let mut held = Vec::new();
    while held.len() < 3 {
        let port = test_support::free_address().port();
        held.extend(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()); // else somebody has it
    }
    let mut ports: Vec<u16> = held
        .iter()
        .map(|listener| Ok(listener.local_addr()?.port()))
        .collect::<Result<_>>()?;
    ports.sort_unstable();
    ports.try_into().ok().context("three ports")
}

/// A shell that runs `down` when this process is gone or drops its end of the pipe: nothing is left even by a killed test.
fn watcher(down: &Command) -> Result<std::process::Child> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "read -r _; exec \"$@\" >/dev/null 2>&1", "watcher"]);
    Ok(behind(command, down)
        .stdin(Stdio::piped())
        .process_group(0)
        .spawn()?)
}
