//! What a Compose file says of one service, once read and checked.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use super::diagnostic::Span;
use super::given::FileMount;

/// A service of the file.
#[derive(Clone, Debug, Serialize)]
pub struct Service {
    /// Its key in `services`.
    pub name: String,
    /// `image`, kept as a hint only: nothing is ever pulled.
    pub image: Option<String>,
    /// What runs.
    pub run: Run,
    /// How it is connected.
    pub attachment: Attachment,
    /// Number of instances, unless `--scale` says otherwise.
    pub replicas: u32,
    /// `entrypoint`, split into words; an empty list means "reset to nothing".
    pub entrypoint: Option<Vec<String>>,
    /// `command`, split into words.
    pub command: Option<Vec<String>>,
    /// Environment, `env_file` included, `environment` winning.
    pub environment: BTreeMap<String, String>,
    /// Published ports, one value a port (ranges are expanded).
    pub ports: Vec<Port>,
    /// `expose`: documentation of the ports it listens on.
    pub expose: Vec<u16>,
    /// What must have started, be healthy or have ended well before it starts, by service name.
    pub depends_on: BTreeMap<String, Dependency>,
    /// How it is asked for its health; none when there is no `healthcheck` or it is disabled.
    pub healthcheck: Option<Healthcheck>,
    /// When it is started again after it ended.
    pub restart: Restart,
    /// Name of the signal that asks it to stop, `SIG` prefix included.
    pub stop_signal: String,
    /// How long it may take to stop before it is killed.
    #[serde(serialize_with = "seconds")]
    pub stop_grace_period: Duration,
    /// What it sees of the file system beside its own root.
    pub mounts: Vec<Mount>,
    /// Secrets and configuration files it is given.
    pub files: Vec<FileMount>,
    /// Settings of its network namespace, `net.` keys only.
    pub sysctls: BTreeMap<String, String>,
    /// What it may use.
    pub limits: Limits,
    /// Number of open files of one process (`ulimits.nofile`).
    pub open_files: Option<u64>,
    /// `user`, as written (`uid`, `uid:gid` or a name).
    pub user: Option<String>,
    /// Working directory.
    pub working_dir: Option<PathBuf>,
    /// Host name; the instance's name when absent.
    pub hostname: Option<String>,
    /// Other names by which its mates know it.
    pub aliases: Vec<Alias>,
    /// Names of its own for other services: the name and the service.
    pub links: BTreeMap<String, String>,
    /// Further lines of its `/etc/hosts`.
    pub extra_hosts: BTreeMap<String, Ipv4Addr>,
    /// Where the file declares it.
    #[serde(skip)]
    pub at: Span,
}

/// What a service runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Run {
    /// A package of the Cargo workspace beside the file; its binary becomes `/app/<package>`.
    Cargo {
        /// Package name, and name of its binary.
        package: String,
    },
    /// A server that the machine has installed, under the contract of its official image.
    Server(Server),
    /// A program of the machine: `entrypoint` followed by `command`.
    Exec {
        /// Program and arguments, never empty.
        argv: Vec<String>,
    },
}

/// Servers that the lab knows how to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Server {
    /// PostgreSQL: `POSTGRES_*`, `PGDATA`, `/docker-entrypoint-initdb.d`.
    Postgres,
    /// Redis or Valkey: data in `/data`.
    Redis,
}

/// How a service is connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Attachment {
    /// `network_mode: none`: a namespace with a loopback only.
    None,
    /// One interface, in the bridge of its tier; the other networks are reached by routing.
    Tier {
        /// Network that its address is in: `x-netns.tier`, else the first one listed.
        tier: String,
        /// `ipv4_address` in that network.
        address: Option<Ipv4Addr>,
        /// Every network it is a member of, its tier included.
        networks: BTreeSet<String>,
    },
}

/// Another name of a service: one of its `aliases` in a network, or its `container_name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Alias {
    /// The name.
    pub name: String,
    /// The network whose members know it by that name; every network of the service when absent.
    pub network: Option<String>,
}

/// A published TCP port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Port {
    /// Host address that is listened on; none means every address of both families.
    pub host_ip: Option<IpAddr>,
    /// Host port.
    pub host_port: u16,
    /// Port of the service.
    pub target: u16,
    /// Where the file publishes it.
    #[serde(skip)]
    pub at: Span,
}

/// What is awaited of a dependency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dependency {
    /// The state that opens the gate.
    pub condition: Condition,
    /// Whether a dependency that is scaled to zero holds the service back.
    pub required: bool,
    /// Whether a restart of the dependency that a person asks for restarts the service too.
    pub restart: bool,
}

/// `depends_on.<service>.condition`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Its process was started.
    ServiceStarted,
    /// Its health check passed.
    ServiceHealthy,
    /// It ended with exit code 0.
    ServiceCompletedSuccessfully,
}

/// `healthcheck`, with Compose's defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Healthcheck {
    /// Program and arguments run inside the sandbox, exit code 0 is healthy (`CMD-SHELL` is `/bin/sh -c` here).
    pub test: Vec<String>,
    /// Time between two checks.
    #[serde(serialize_with = "seconds")]
    pub interval: Duration,
    /// Time after which a check counts as failed.
    #[serde(serialize_with = "seconds")]
    pub timeout: Duration,
    /// Failures in a row that make it unhealthy.
    pub retries: u32,
    /// Time after the start in which failures do not count.
    #[serde(serialize_with = "seconds")]
    pub start_period: Duration,
    /// Time between two checks within the start period, when the file states it.
    #[serde(serialize_with = "optional_seconds")]
    pub start_interval: Option<Duration>,
}

/// `restart`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// Never; the default.
    No,
    /// Whenever it ends.
    Always,
    /// When it ended with an exit code other than 0, at most so many times if a number is given.
    OnFailure {
        /// Most restarts, unlimited when absent.
        max_retries: Option<u32>,
    },
    /// Whenever it ends, unless a person stopped it.
    UnlessStopped,
}

/// One entry of `volumes` or `tmpfs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mount {
    /// What is mounted.
    pub source: MountSource,
    /// Absolute path inside.
    pub target: PathBuf,
    /// Whether the service may only read.
    pub read_only: bool,
}

/// What a mount shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MountSource {
    /// A named volume, kept in the project's state folder.
    Volume(String),
    /// A volume without a name: each instance has its own.
    Anonymous,
    /// A path of the host, absolute.
    Bind(PathBuf),
    /// Memory, gone with the instance.
    Tmpfs {
        /// Most bytes it may hold.
        size: Option<u64>,
        /// Permission bits of its root.
        mode: Option<u32>,
    },
}

/// `deploy.resources.limits`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Share of processors: 0.5 is half of one.
    pub cpus: Option<f64>,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Number of processes and threads.
    pub pids: Option<u32>,
}

fn seconds<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(value.as_secs_f64())
}

fn optional_seconds<S: Serializer>(
    value: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.serialize_some(&value.as_secs_f64()),
        None => serializer.serialize_none(),
    }
}
