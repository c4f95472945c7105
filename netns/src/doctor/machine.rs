//! What there is on this machine, probed without leaving a trace.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::Uid;

use super::listeners::{Listener, listener};

/// Where Debian keeps PostgreSQL, one folder a major version.
const POSTGRES: &str = "/usr/lib/postgresql";
/// The ports that the shop publishes unless told otherwise.
const PORTS: [u16; 3] = [8080, 3000, 3001];

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// Whether the caller is root.
    pub root: bool,
    /// Why a child could not enter a user namespace with a network, mount and PID namespace of its own; none when it could.
    pub namespaces: Option<String>,
    /// `user.max_user_namespaces`.
    pub max_user_namespaces: Option<u64>,
    /// Whether AppArmor keeps unprivileged programs from using user namespaces (Ubuntu 23.10 and newer).
    pub apparmor_restricts: bool,
    /// Whether Debian's older switch, `kernel.unprivileged_userns_clone`, is off.
    pub clone_switched_off: bool,
    /// Features the kernel refused in a namespace: `bridge`, `veth`, `nf_tables`, `nat`; empty when all work.
    pub kernel_lacks: BTreeSet<String>,
    /// Whether the kernel's features could be tried at all.
    pub kernel_tried: bool,
    /// Programs by name, with their path.
    pub programs: BTreeMap<String, PathBuf>,
    /// Major versions of the PostgreSQL server, ascending.
    pub postgres: BTreeSet<u32>,
    /// Published ports that are taken.
    pub taken: BTreeMap<u16, Listener>,
    /// Whether there is apt-get.
    pub debian: bool,
}

impl Machine {
    /// Looks only at what a lab cannot do without and no package brings.
    #[must_use]
    pub fn namespaces_only() -> Self {
        Self {
            root: Uid::effective().is_root(),
            namespaces: try_namespaces(),
            max_user_namespaces: number("/proc/sys/user/max_user_namespaces"),
            apparmor_restricts: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
                == Some(1),
            clone_switched_off: number("/proc/sys/kernel/unprivileged_userns_clone") == Some(0),
            ..Self::default()
        }
    }

    /// Looks at this machine.
    #[must_use]
    pub fn probe() -> Self {
        let names = ["nft", "ip", "redis-server", "cc", "cargo", "unshare"];
        let programs: BTreeMap<String, PathBuf> = names
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), program(name)?)))
            .collect();
        let alone = Self::namespaces_only();
        let tools = ["ip", "nft", "unshare"]
            .iter()
            .all(|name| programs.contains_key(*name));
        let kernel = (alone.namespaces.is_none() && tools).then(kernel_lacks);
        Self {
            kernel_tried: kernel.is_some(),
            kernel_lacks: kernel.unwrap_or_default(),
            postgres: postgres_versions(Path::new(POSTGRES)),
            taken: PORTS
                .iter()
                .filter_map(|port| Some((*port, listener(*port)?)))
                .collect(),
            debian: program("apt-get").is_some(),
            programs,
            ..alone
        }
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

/// Makes one of everything in a namespace that ends with the probe.
fn kernel_lacks() -> BTreeSet<String> {
    let attempts = [
        ("bridge", "ip link add probe type bridge"),
        ("veth", "ip link add probe0 type veth peer name probe1"),
        (
            "nf_tables",
            "nft add table inet probe && nft 'add chain inet probe f { type filter hook forward priority 0; }' && nft add rule inet probe f ct state established accept",
        ),
        (
            "nat",
            "nft add table inet probe && nft 'add chain inet probe n { type nat hook prerouting priority dstnat; }' && nft add rule inet probe n tcp dport 1 dnat ip to 10.0.0.1:1",
        ),
        (
            "reject",
            "nft add table inet probe && nft 'add chain inet probe i { type filter hook input priority 0; }' && nft add rule inet probe i reject with icmpx admin-prohibited",
        ),
    ];
    let script: String = attempts
        .iter()
        .map(|(name, command)| format!("({command}) >/dev/null 2>&1 || echo {name}\n"))
        .collect();
    let output = Command::new(program("unshare").unwrap_or_else(|| "unshare".into()))
        .args([
            "--user",
            "--map-root-user",
            "--net",
            "/bin/sh",
            "-c",
            &script,
        ])
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(str::to_owned)
            .collect(),
        Ok(_) | Err(_) => attempts
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .collect(),
    }
}
