//! Where the programs and files are, and one lab.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::unistd::Uid;
use serde_json::Value;
use tempfile::TempDir;

use crate::playhost::within;

/// Names the base folder of the labs' state.
const STATE_DIR: &str = "NETNS_STATE_DIR";
/// Names the folder of the copies that an ordinary user runs.
const COPIES: &str = "UNDERLAY_LAB_COPIES";
/// An ordinary user without a name, a home or anything else on this machine; none of the kernel's special numbers.
const ORDINARY_USER: u32 = 61_234;
const SERVICES: [&str; 4] = [
    "service-registry",
    "product-service",
    "order-service",
    "api-gateway",
];
/// A command that takes longer hangs. `up` gives up on its own before.
const COMMAND_DEADLINE: Duration = Duration::from_secs(150);
/// Brings a lab up. A first start on a machine under load takes some ten seconds.
pub(crate) const UP: [&str; 4] = ["up", "-d", "--wait-timeout", "90"];

/// What every lab of this run shares.
pub(crate) struct Setting {
    /// netns-setup
    setup: PathBuf,
    /// The four services.
    binaries: PathBuf,
    /// docker-compose.yml and what it refers to.
    project: PathBuf,
    /// State folders of the labs; removed at the end.
    scratch: TempDir,
}

impl Setting {
    /// Copies what the labs run and read, having Cargo look whether it is built: a checkout may lie where the users of a sandbox
    /// cannot read, or have been made under a umask that keeps them out.
    pub(crate) fn find() -> Result<Self> {
        let scratch = tempfile::Builder::new()
            .prefix("underlay-lab-")
            .tempdir_in("/tmp")?;
        if let Some(copies) = std::env::var_os(COPIES).map(PathBuf::from) {
            return Ok(Self {
                setup: copies.join("netns-setup"),
                binaries: copies.clone(),
                project: copies,
                scratch,
            });
        }
        let binaries = test_support::build_binaries()?;
        let project = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("the workspace's folder")?;
        let copies = scratch.path().join("copies");
        copy_folder(&project.join("docker"), &copies.join("docker"))?;
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
        copy_folder(&examples, &copies.join("examples"))?;
        open_to_all(&copies)?;
        copy(
            &project.join("docker-compose.yml"),
            &copies.join("docker-compose.yml"),
        )?;
        std::fs::create_dir_all(copies.join("docs"))?;
        open_to_all(&copies.join("docs"))?;
        copy(&crate::manual::page(project)?, &copies.join("docs/raw.md"))?;
        copy(
            Path::new(env!("CARGO_BIN_EXE_netns-setup")),
            &copies.join("netns-setup"),
        )?;
        copy(&std::env::current_exe()?, &copies.join("lab"))?;
        for service in SERVICES {
            copy(&binaries.join(service), &copies.join(service))?;
        }
        Ok(Self {
            setup: copies.join("netns-setup"),
            binaries: copies.clone(),
            project: copies,
            scratch,
        })
    }

    pub(crate) fn is_root(&self) -> bool {
        Uid::effective().is_root()
    }

    /// The Compose file of the shop.
    pub(crate) fn compose_file(&self) -> PathBuf {
        self.project.join("docker-compose.yml")
    }

    /// The Compose file of an example.
    pub(crate) fn example(&self, name: &str) -> PathBuf {
        self.project
            .join("examples")
            .join(name)
            .join("compose.yaml")
    }

    /// This test's own program, where the user of a sandbox can read it.
    pub(crate) fn own_program(&self) -> PathBuf {
        self.project.join("lab")
    }

    /// The folder with docker-compose.yml and what it refers to.
    pub(crate) fn project(&self) -> &Path {
        &self.project
    }

    /// A folder for files of one story.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.scratch.path().join(name);
        std::fs::create_dir_all(&folder)?;
        open_to_all(&folder)?;
        Ok(folder)
    }

    /// netns-setup with nothing of the caller's environment but what it needs.
    pub(crate) fn netns_setup(&self) -> Command {
        let mut command = Command::new(&self.setup);
        command
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("HOME", self.scratch.path())
            .env(STATE_DIR, self.scratch.path().join("state"))
            .env("NETNS_BIN_DIR", &self.binaries)
            .current_dir(self.scratch.path())
            .stdin(Stdio::null());
        command
    }

    /// This test, with the copies, run by an ordinary user.
    pub(crate) fn for_ordinary_user(&self) -> Result<Command> {
        let home = self.folder("home")?;
        chown(&home, Some(ORDINARY_USER), Some(ORDINARY_USER))?;
        open_to_all(self.scratch.path())?;
        let mut command = Command::new(self.project.join("lab"));
        command
            .uid(ORDINARY_USER)
            .gid(ORDINARY_USER)
            .env(COPIES, &self.project)
            .env("HOME", &home)
            .current_dir(&home);
        Ok(command)
    }
}

/// Whatever the umask: what a lab mounts is read by its sandboxes' users.
fn open_to_all(folder: &Path) -> Result<()> {
    Ok(std::fs::set_permissions(
        folder,
        std::fs::Permissions::from_mode(0o755),
    )?)
}

/// A hard link would do for files of one disk and one owner; these are to be read by another user.
fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to).with_context(|| format!("copying {}", from.display()))?;
    let executable = std::fs::metadata(from)?.permissions().mode() & 0o111 != 0;
    Ok(std::fs::set_permissions(
        to,
        std::fs::Permissions::from_mode(if executable { 0o755 } else { 0o644 }),
    )?)
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    open_to_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_folder(&from, &to)?;
        } else {
            copy(&from, &to)?;
        }
    }
    Ok(())
}

/// One lab: a project name, a Compose file, and ports and prefixes nobody else uses.
pub(crate) struct Lab<'a> {
    setting: &'a Setting,
    pub(crate) name: String,
    file: PathBuf,
    overrides: Vec<PathBuf>,
    environment: Vec<(String, String)>,
    /// The network namespace that it takes for the host's; none: this test's own.
    host: Option<PathBuf>,
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
        let port = || test_support::free_address().port();
        let (http_port, gateway_port, admin_port) = (port(), port(), port());
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
        let mut command = self.setting.netns_setup();
        command.arg("-p").arg(&self.name).arg("-f").arg(&self.file);
        for file in &self.overrides {
            command.arg("-f").arg(file);
        }
        command.args(arguments);
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        match &self.host {
            Some(host) => within(host, &command),
            None => command,
        }
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

/// A shell that runs `down` when this process is gone or drops its end of the pipe: nothing is left even by a killed test.
fn watcher(down: &Command) -> Result<std::process::Child> {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "read -r _; exec \"$@\" >/dev/null 2>&1", "watcher"])
        .arg(down.get_program())
        .args(down.get_args());
    command.env_clear().envs(
        down.get_envs()
            .filter_map(|(key, value)| Some((key, value?))),
    );
    Ok(command.stdin(Stdio::piped()).process_group(0).spawn()?)
}

/// Everything a command said, for messages.
pub(crate) fn said(output: &Output) -> String {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    format!("{}\n{}{}", output.status, out, err)
}
