//! What there is to get hold of, and how the attempts on it are made.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use nix::unistd::{Uid, User};

use super::{LIMITED, ONE_SHOT, OPEN_FILES, PROBE, SERVICES, compare};
use crate::groups::Group;
use crate::probe::list::{ATTEMPTS, ON_A_TERMINAL};
use crate::probe::{self, Place, World};
use crate::setting::{Lab, Setting, said};
use crate::terminal::session;

/// What is there to be got hold of. The listeners are open for as long as it lives.
pub(super) struct Stage {
    pub(super) world: World,
    program: PathBuf,
    _listeners: (UnixListener, UnixListener, TcpListener),
}

impl Stage {
    pub(super) fn set(setting: &Setting, lab: &Lab<'_>) -> Result<Self> {
        let folder = setting.folder("confinement")?;
        let home = folder.join("home");
        fs::create_dir_all(&home)?;
        let private_file = home.join("private");
        fs::write(&private_file, "the caller's alone")?;
        fs::set_permissions(&private_file, fs::Permissions::from_mode(0o600))?;
        let (engine, abstract_socket) = (folder.join("docker.sock"), folder.display().to_string());
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let world = World {
            home,
            passwd_home: passwd_home()?,
            private_file,
            state: lab.state(),
            secret: lab
                .state()
                .join("volumes/secrets-postgres/postgres-password"),
            sibling: i32::try_from(std::process::id())?, // until there is one
            limit: limit_of(i32::try_from(std::process::id())?)?, // until there is a sandbox
            caller: i32::try_from(std::process::id())?,
            port: port.local_addr()?.port(),
            root: folder,
            abstract_socket,
            engine,
        };
        let listeners = (
            UnixListener::bind(&world.engine)?,
            UnixListener::bind_addr(&SocketAddr::from_abstract_name(&world.abstract_socket)?)?,
            port,
        );
        Ok(Self {
            world,
            program: setting.own_program(),
            _listeners: listeners,
        })
    }

    /// A second Compose file: shows the probe in every sandbox, makes it the one-shot's last act, and has Redis be healthy only if
    /// its health check is filtered.
    pub(super) fn override_file(&self, setting: &Setting) -> Result<PathBuf> {
        let mut text = "services:\n".to_owned();
        for service in SERVICES.into_iter().chain([ONE_SHOT]) {
            writeln!(
                text,
                "  {service}:\n    volumes: ['{}:{PROBE}:ro']",
                self.program.display()
            )?;
            if service == ONE_SHOT {
                let script =
                    ["/bin/sh", "-c", "sh /mint.sh && exec \"$$@\"", "sh"].map(String::from);
                let words = [&script[..], &inside(&self.world)?].concat();
                writeln!(text, "    entrypoint: {}", serde_json::to_string(&words)?)?;
            }
            if service == LIMITED {
                writeln!(text, "    ulimits: {{ nofile: {OPEN_FILES} }}")?;
                let check = "grep -q '^Seccomp:.2$$' /proc/self/status && redis-cli --user health --pass health --no-auth-warning ping";
                writeln!(text, "    healthcheck: {{ test: [CMD-SHELL, {check:?}] }}")?;
            }
        }
        let path = setting.folder("confinement")?.join("probed.yml");
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Runs the probe where its attempts are permitted: what it said.
    pub(super) fn outside(&self, place: Place) -> Result<String> {
        let mut command = match place {
            Place::Namespaces => {
                let mut command = Command::new("unshare");
                command
                    .args([
                        "--user",
                        "--map-root-user",
                        "--mount",
                        "--net",
                        "--ipc",
                        "--uts",
                    ])
                    .args(["--cgroup", "--pid", "--fork", "--mount-proc"])
                    .arg(&self.program);
                command
            }
            _ => Command::new(&self.program),
        };
        let output = command
            .args([probe::ARGUMENT, place.name()])
            .arg(serde_json::to_string(&self.world)?)
            .stdin(Stdio::null())
            .output()
            .context("starting the probe (unshare is in Debian's util-linux)")?;
        ensure!(output.status.success(), "{}", said(&output));
        Ok(String::from_utf8(output.stdout)?)
    }

    pub(super) async fn on_the_callers_terminal(&self, lab: &Lab<'_>) -> Result<()> {
        let terminal = nix::pty::openpty(None, None)?;
        let mut own = Command::new(&self.program);
        own.args([probe::ARGUMENT, Place::Outside.name()])
            .arg(serde_json::to_string(&self.world)?);
        compare(
            Place::Outside,
            ON_A_TERMINAL,
            &on_terminal(&terminal.slave, &own)?,
        )?;
        let words = inside(&self.world)?;
        let words = [
            &["exec", "-T", "redis"],
            &words.each_ref().map(String::as_str)[..],
        ]
        .concat();
        let told = on_terminal(&terminal.slave, &lab.command(&words))?;
        compare(Place::Sandbox, ON_A_TERMINAL, &told).map(drop)
    }

    pub(super) async fn tried_inside(&self, lab: &Lab<'_>, service: &str) -> Result<usize> {
        let sibling = if service == "redis" {
            "postgres-1"
        } else {
            "redis-1"
        };
        let sibling = lab.instance(sibling).await?.pid.context("it runs")?;
        let own = lab.instance(&format!("{service}-1")).await?.pid;
        let world = World {
            sibling,
            limit: limit_of(own.context("it runs")?)?,
            ..self.world.clone()
        };
        let words = inside(&world)?;
        let output = lab
            .exec(service, &words.each_ref().map(String::as_str))
            .await?;
        ensure!(output.status.success(), "{}", said(&output));
        compare(
            Place::Sandbox,
            ATTEMPTS,
            std::str::from_utf8(&output.stdout)?,
        )
    }
}

/// What the user database says of the caller, or of root where it says nothing of use: of a user without a home nothing can be had.
fn passwd_home() -> Result<PathBuf> {
    let of = |id: Uid| Ok::<_, anyhow::Error>(User::from_uid(id)?.map(|user| user.dir));
    let own = of(Uid::current())?.filter(|home| home.starts_with("/home") && home.exists());
    own.or(of(Uid::from_raw(0))?)
        .context("the user database does not know root")
}

/// The file that limits the memory of a process's control group; of a group that has none, such as the topmost, the file that says who
/// is in it.
pub(super) fn limit_of(pid: i32) -> Result<PathBuf> {
    let folder = Group::of(pid).folder("memory")?;
    ["memory.limit_in_bytes", "memory.max", "cgroup.procs"]
        .map(|file| folder.join(file))
        .into_iter()
        .find(|file| file.exists())
        .with_context(|| format!("nothing limits memory in {}", folder.display()))
}

/// The command, with the terminal as that of its session.
fn on_terminal(terminal: &OwnedFd, command: &Command) -> Result<String> {
    let output = session(command)
        .stdin(terminal.try_clone()?)
        .output()
        .context("starting setsid (Debian's util-linux)")?;
    ensure!(output.status.success(), "{}", said(&output));
    Ok(String::from_utf8(output.stdout)?)
}

/// The command line of the probe inside a sandbox.
fn inside(world: &World) -> Result<[String; 4]> {
    let world = World {
        root: "/".into(),
        ..world.clone()
    };
    Ok([
        PROBE.to_owned(),
        probe::ARGUMENT.to_owned(),
        Place::Sandbox.name().to_owned(),
        serde_json::to_string(&world)?,
    ])
}
