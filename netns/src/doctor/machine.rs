//! What there is on this machine, probed without leaving a trace.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::statvfs::statvfs;
use nix::unistd::Uid;

use super::asked::{Answer, ask};
use super::asks::{self, Asks};
use super::docker::Docker;
use super::folder::usable;
use super::limits::Limits;
use super::listeners::listener;
use super::software::Wants;
use super::trial::{self, Refused};
use crate::compose::{Project, Run, Server};
use crate::kernel::cgroup;
use crate::lab::clock::Clock;
use crate::lab::state::StateDir;

/// Where Debian keeps PostgreSQL, one folder a major version.
const POSTGRES: &str = "/usr/lib/postgresql";

/// How long programs are waited for, from the first look on.
const PATIENCE: Duration = Duration::from_millis(900);

/// The switches that limit how many namespaces an owner may have; none of them may be 0.
const NAMESPACES: [&str; 6] = [
    "max_user_namespaces",
    "max_net_namespaces",
    "max_mnt_namespaces",
    "max_pid_namespaces",
    "max_ipc_namespaces",
    "max_uts_namespaces",
];

/// What was found.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Whether the caller is root.
    pub root: bool,
    /// This program.
    pub program: PathBuf,
    /// The kernel's release.
    pub release: String,
    /// Why a child could not enter a user namespace with a network, mount and PID namespace of its own; none when it could.
    pub namespaces: Option<String>,
    /// `user.max_*_namespaces`, by name.
    pub namespace_numbers: BTreeMap<&'static str, u64>,
    /// Whether AppArmor keeps unprivileged programs from using user namespaces (Ubuntu 23.10 and newer).
    pub apparmor_restricts: bool,
    /// The text of the profile that `--install` writes, when there is one.
    pub apparmor_profile: Option<String>,
    /// Whether Debian's older switch, `kernel.unprivileged_userns_clone`, is off.
    pub clone_switched_off: bool,
    /// What the kernel refused in a namespace; none when nothing could be tried.
    pub refused: Option<Refused>,
    /// `bridge-nf-call-iptables`; none when there is no br_netfilter.
    pub bridge_calls: Option<u64>,
    /// Whether the kernel has IPVS; none when that cannot be told.
    pub ipvs: Option<bool>,
    /// Programs by name, with their path.
    pub programs: BTreeMap<String, PathBuf>,
    /// What programs say of their version.
    pub versions: BTreeMap<String, String>,
    /// Major versions of the PostgreSQL server, ascending.
    pub postgres: BTreeSet<u32>,
    /// What the services of the Compose file are made of.
    pub wants: Wants,
    /// What the Compose file asks of this host, or why that is not known.
    pub asks: Result<Asks, String>,
    /// How much there is.
    pub limits: Limits,
    /// What Docker answers; none when it was not asked.
    pub docker: Option<Docker>,
}

/// Whose machine it is to be: the Compose file and its lab's folder, or why there is none; and the folder of all labs.
pub type Wanted<'a> = (Result<(&'a Project, &'a StateDir), String>, &'a Path);

impl Machine {
    /// Looks only at what a lab cannot do without and no package brings.
    #[must_use]
    pub fn namespaces_only() -> Self {
        Self {
            root: Uid::effective().is_root(),
            program: std::env::current_exe().unwrap_or_default(),
            release: text("/proc/sys/kernel/osrelease"),
            namespaces: try_namespaces(),
            namespace_numbers: NAMESPACES
                .iter()
                .filter_map(|name| Some((*name, number(&format!("/proc/sys/user/{name}"))?)))
                .collect(),
            apparmor_restricts: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
                == Some(1),
            apparmor_profile: fs::read_to_string(super::apparmor::PROFILE).ok(),
            clone_switched_off: number("/proc/sys/kernel/unprivileged_userns_clone") == Some(0),
            refused: None,
            bridge_calls: None,
            ipvs: None,
            programs: BTreeMap::new(),
            versions: BTreeMap::new(),
            postgres: BTreeSet::new(),
            wants: Wants::default(),
            asks: Err("not looked at".to_owned()),
            limits: Limits::default(),
            docker: None,
        }
    }

    /// Looks at this machine.
    #[must_use]
    pub fn probe(wanted: &Wanted<'_>) -> Self {
        let clock = Clock::start();
        // The slow ones first: they answer while the rest is looked at.
        let asked =
            ["nft", "redis-server", "valkey-server"].map(|name| (name, ask(name, &["--version"])));
        let engine = ask("docker", &["version", "--format", "{{json .}}"]);
        let compose = ask("docker", &["compose", "version", "--short"]);
        let buildx = ask("docker", &["buildx", "version"]);
        let names = [
            "nft",
            "ip",
            "tc",
            "redis-server",
            "valkey-server",
            "cc",
            "cargo",
            "unshare",
        ];
        let programs: BTreeMap<String, PathBuf> = names
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), program(name)?)))
            .collect();
        let alone = Self::namespaces_only();
        let tools = ["ip", "nft", "unshare"]
            .iter()
            .all(|name| programs.contains_key(*name));
        let (project, folder) = wanted;
        Self {
            refused: (alone.namespaces.is_none() && tools)
                .then(trial::tried)
                .flatten(),
            bridge_calls: number("/proc/sys/net/bridge/bridge-nf-call-iptables"),
            ipvs: ipvs(&alone.release),
            postgres: postgres_versions(Path::new(POSTGRES)),
            wants: project
                .as_ref()
                .map_or_else(|_| Wants::default(), |(project, _)| wants(project)),
            asks: project
                .as_ref()
                .map_err(Clone::clone)
                .map(|(project, state)| asks_of(project, state)),
            limits: Limits {
                groups: Some(groups()),
                files: getrlimit(Resource::RLIMIT_NOFILE)
                    .ok()
                    .map(|(_, hard)| hard),
                inotify: number("/proc/sys/fs/inotify/max_user_instances"),
                backlog: number("/proc/sys/net/core/somaxconn"),
                folder: Some(usable(
                    project.as_ref().map_or(*folder, |(_, state)| state.path()),
                )),
                room: room(folder),
            },
            versions: asked
                .into_iter()
                .filter_map(|(name, asked)| {
                    Some((
                        name.to_owned(),
                        asked.answer(clock, PATIENCE).line()?.to_owned(),
                    ))
                })
                .collect(),
            docker: Some(Docker {
                engine: engine.answer(clock, PATIENCE),
                compose: compose.answer(clock, PATIENCE),
                buildx: buildx.answer(clock, PATIENCE),
            }),
            programs,
            ..alone
        }
    }
}

fn wants(project: &Project) -> Wants {
    let runs = |wanted: fn(&Run) -> bool| {
        project
            .services
            .values()
            .any(|service| wanted(&service.run))
    };
    Wants {
        postgres: runs(|run| matches!(run, Run::Server(Server::Postgres))),
        redis: runs(|run| matches!(run, Run::Server(Server::Redis))),
        cargo: runs(|run| matches!(run, Run::Cargo { .. })),
    }
}

fn asks_of(project: &Project, state: &StateDir) -> Asks {
    let ports = asks::ports(project);
    Asks {
        taken: ports
            .iter()
            .filter_map(|port| Some((*port, listener(*port)?)))
            .collect(),
        ports,
        subnets: project
            .networks
            .iter()
            .map(|(name, network)| (name.clone(), network.subnet))
            .collect(),
        routes: fs::read_to_string("/proc/net/route")
            .ok()
            .map(|table| asks::routes(&table)),
        is_up: state.is_up(),
    }
}

/// What control groups can limit here, or why they cannot and what to do.
fn groups() -> Result<String, (String, String)> {
    let ground = cgroup::survey().map_err(|why| (why.reason, why.remedy.unwrap_or_default()))?;
    let names: Vec<&str> = ground
        .controllers()
        .into_iter()
        .map(cgroup::Controller::name)
        .collect();
    let v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    Ok(format!("v{}: {}", if v2 { 2 } else { 1 }, names.join(", ")))
}

/// The room in the nearest folder that there is already.
fn room(folder: &Path) -> Option<(u64, String)> {
    let there = folder.ancestors().find(|folder| folder.exists())?;
    let room = statvfs(there).ok()?;
    let bytes = room.blocks_available().checked_mul(room.fragment_size())?;
    Some((bytes, folder.display().to_string()))
}

/// Whether the kernel has IPVS: loaded, a module that Docker would load, or said by the kernel's own configuration.
fn ipvs(release: &str) -> Option<bool> {
    if Path::new("/proc/net/ip_vs").exists() {
        return Some(true);
    }
    let modules = Path::new("/lib/modules").join(release);
    let lists =
        ["modules.dep", "modules.builtin"].map(|list| fs::read_to_string(modules.join(list)));
    if lists.iter().any(Result::is_ok) {
        return Some(
            lists
                .iter()
                .flatten()
                .any(|list| list.contains("/ip_vs.ko")),
        );
    }
    // A kernel that says how it was configured.
    let config = "/proc/config.gz";
    if !Path::new(config).exists() {
        return None;
    }
    match ask("zgrep", &["-E", "^CONFIG_IP_VS=", config]).answer(Clock::start(), PATIENCE) {
        Answer::Said { well, out, err } if err.is_empty() => Some(well && !out.is_empty()),
        _ => None,
    }
}

/// A program on the path, or where an ordinary user's path does not lead.
pub(super) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let extra = [
        "/usr/local/sbin",
        "/usr/sbin",
        "/sbin",
        "/usr/local/bin",
        "/usr/bin",
        "/bin",
    ]
    .map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(extra)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// The major versions below `folder` that have a server.
pub(super) fn postgres_versions(folder: &Path) -> BTreeSet<u32> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let servers = entries.filter(|entry| entry.path().join("bin/postgres").exists());
    servers
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

fn text(file: &str) -> String {
    fs::read_to_string(file)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn number(file: &str) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// Lets a child enter the namespaces a lab enters. The error that the kernel gives is the answer, since every switch that
/// administrators have for this ends in one.
fn try_namespaces() -> Option<String> {
    use nix::sched::{CloneFlags, unshare};
    use std::os::unix::process::CommandExt as _;

    let rest = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID;
    let mut child = Command::new("/bin/true");
    child
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    #[expect(
        unsafe_code,
        reason = "the standard library has no safe way to act between fork and exec"
    )]
    // SAFETY: the closure makes two system calls, which are async-signal-safe, and allocates nothing: nix's error is a number, and
    // so is the io::Error made of it.
    unsafe {
        child.pre_exec(move || {
            unshare(CloneFlags::CLONE_NEWUSER)?;
            // A call of its own, since AppArmor lets a program into a user namespace and takes its capabilities away there.
            Ok(unshare(rest)?)
        });
    }
    match child.status() {
        Ok(_) => None,
        Err(error) => Some(error.to_string()),
    }
}
