//! Where the programs and files are, and one lab.

mod lab;
mod user;

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result};
use nix::unistd::Uid;
use tempfile::TempDir;
use test_support::SERVICES;

use crate::delegation::Delegation;
pub(crate) use lab::Lab;
pub(crate) use user::User;

/// Names the base folder of the labs' state.
const STATE_DIR: &str = "NETNS_STATE_DIR";
/// Names the folder of the copies that an ordinary user runs.
const COPIES: &str = "UNDERLAY_LAB_COPIES";
/// An ordinary user without a name, a home or anything else on this machine; none of the kernel's special numbers.
const ORDINARY_USER: u32 = 61_234;
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
    delegation: Delegation,
}

impl Setting {
    /// Copies what the labs run and read, having Cargo look whether it is built: a checkout may lie where the users of a sandbox
    /// cannot read, or have been made under a umask that keeps them out.
    pub(crate) fn find() -> Result<Self> {
        let scratch = tempfile::Builder::new()
            .prefix("underlay-lab-")
            .tempdir_in("/tmp")?;
        let delegation = Delegation::find()?;
        if let Some(copies) = std::env::var_os(COPIES).map(PathBuf::from) {
            return Ok(Self {
                setup: copies.join("netns-setup"),
                binaries: copies.clone(),
                project: copies,
                scratch,
                delegation,
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
            delegation,
        })
    }

    pub(crate) fn is_root(&self) -> bool {
        Uid::effective().is_root()
    }

    pub(crate) fn delegation(&self) -> Delegation {
        self.delegation
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
            .envs(self.delegation.environment())
            .current_dir(self.scratch.path())
            .stdin(Stdio::null());
        command
    }

    /// Another ordinary user, with a home that everybody may look into. Root's to make.
    pub(crate) fn user(&self, id: u32) -> Result<User> {
        let home = self.folder(&format!("home-{id}"))?;
        chown(&home, Some(id), Some(id))?;
        open_to_all(self.scratch.path())?;
        Ok(User::new(id, home))
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

/// `outer`, which runs `command` with nothing but that one's environment.
pub(crate) fn behind(mut outer: Command, command: &Command) -> Command {
    outer
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .envs(
            command
                .get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        );
    outer
}

/// Everything a command said, for messages.
pub(crate) fn said(output: &Output) -> String {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    format!("{}\n{}{}", output.status, out, err)
}
