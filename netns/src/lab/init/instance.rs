//! From a service of the file to the sandbox of one of its instances. Pure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Lab;
use super::official::{self, POSTGRES_ENTRYPOINT};
use crate::compose::{self, Healthcheck, Run, Server, Service};
use crate::kernel::cgroup::{LabGroups, Membership};
use crate::kernel::sandbox::{ExecSpec, Mount, MountSource, ProcessLimits, SandboxSpec};
use crate::lab::SANDBOX_PATH;
use crate::lab::build::Binaries;
use crate::lab::protocol::Exec;
use crate::lab::state::StateDir;
use crate::lab::supervise::{Dependency, ProbeTimes, Unit};
use crate::plan::Instance;

/// That script, which serves container images as well.
pub(super) const POSTGRES_ENTRYPOINT_TEXT: &str =
    include_str!("../../../../docker/postgres/docker-entrypoint.sh");
/// Its file in the state folder's `run`.
pub(super) const POSTGRES_ENTRYPOINT_FILE: &str = "postgres-entrypoint.sh";

/// Where things are on this machine.
#[derive(Debug)]
pub(super) struct Machine<'a> {
    /// The project's state folder.
    pub state: &'a StateDir,
    /// The built services.
    pub binaries: &'a Binaries,
    /// Programs of Redis by their other names.
    pub redis_names: Vec<(&'static str, PathBuf)>,
    /// PostgreSQL's programs, in Debian's folder of the newest version.
    pub postgres_programs: Option<PathBuf>,
    /// The lab's control groups, if it has any.
    pub groups: Option<&'a LabGroups>,
}

impl<'a> Machine<'a> {
    /// Looks where things are.
    pub(super) fn new(
        state: &'a StateDir,
        binaries: &'a Binaries,
        groups: Option<&'a LabGroups>,
    ) -> Self {
        Self {
            state,
            binaries,
            redis_names: official::redis_names(SANDBOX_PATH),
            postgres_programs: postgres_programs("/usr/lib/postgresql".as_ref()),
            groups,
        }
    }
}

impl Lab {
    /// Where things are for its instances.
    pub(super) fn machine(&self) -> Machine<'_> {
        Machine::new(&self.state, &self.binaries, self.limiting.groups.as_ref())
    }
}

/// What the supervisor has to know of the instance.
#[must_use]
pub(super) fn unit(service: &Service, instance: &Instance) -> Unit {
    Unit {
        name: instance.name.clone(),
        service: service.name.clone(),
        after: service
            .depends_on
            .iter()
            .map(|(service, dependency)| Dependency {
                service: service.clone(),
                condition: dependency.condition,
                restart: dependency.restart,
            })
            .collect(),
        restart: service.restart,
        probe: service.healthcheck.as_ref().map(|check| ProbeTimes {
            interval: check.interval,
            retries: check.retries,
            start_period: check.start_period,
        }),
        stop_grace: service.stop_grace_period,
    }
}

/// The sandbox of the instance.
#[must_use]
pub(super) fn sandbox(
    service: &Service,
    instance: &Instance,
    machine: &Machine<'_>,
) -> SandboxSpec {
    let mut mounts: Vec<Mount> = Vec::new();
    match &service.run {
        Run::Cargo { package } => {
            if let Some(binary) = machine.binaries.get(package) {
                mounts.push(read_only(binary, &format!("/app/{package}")));
            }
        }
        Run::Server(Server::Postgres) => {
            mounts.push(read_only(
                &machine.state.run().join(POSTGRES_ENTRYPOINT_FILE),
                POSTGRES_ENTRYPOINT,
            ));
        }
        Run::Server(Server::Redis) => {
            let named = machine.redis_names.iter();
            let named = named.filter(|(name, _)| mentions(service, name));
            mounts.extend(
                named.map(|(name, path)| read_only(path, &format!("/usr/local/bin/{name}"))),
            );
        }
        Run::Exec { .. } => {}
    }
    mounts.extend(service.files.iter().map(|file| {
        let given = machine.state.given(file.kind).join(&file.name);
        read_only(&given, &file.target.to_string_lossy())
    }));
    mounts.extend(official::mounts(service).into_iter().map(|mount| Mount {
        source: match &mount.source {
            compose::MountSource::Anonymous => {
                MountSource::Bind(anonymous(machine.state, instance, &mount.target))
            }
            compose::MountSource::Volume(name) => MountSource::Bind(machine.state.volume(name)),
            compose::MountSource::Bind(path) => MountSource::Bind(path.clone()),
            compose::MountSource::Tmpfs { size, mode } => MountSource::Tmpfs {
                size: *size,
                mode: *mode,
            },
        },
        target: mount.target.clone(),
        read_only: mount.read_only,
    }));
    SandboxSpec {
        name: instance.name.clone(),
        hostname: instance.hostname.clone(),
        argv: argv(service),
        env: environment(service, instance, machine),
        cwd: working_folder(service),
        mounts,
        hosts: machine.state.hosts(&instance.name),
        terminal: None,
        limits: service
            .open_files
            .map_or_else(ProcessLimits::default, |open_files| ProcessLimits {
                open_files,
            }),
        group: machine
            .groups
            .map(|groups| groups.instance(&instance.name).membership())
            .unwrap_or_default(),
    }
}

/// The program that asks the instance for its health.
#[must_use]
pub(super) fn health_check(sandbox: &SandboxSpec, check: &Healthcheck) -> ExecSpec {
    let exec = Exec {
        argv: check.test.clone(),
        ..Exec::default()
    };
    program(sandbox, exec)
}

/// A further program in the instance's sandbox.
#[must_use]
pub(super) fn program(sandbox: &SandboxSpec, exec: Exec) -> ExecSpec {
    let mut env = sandbox.env.clone();
    env.extend(exec.env);
    ExecSpec {
        name: sandbox.name.clone(),
        argv: exec.argv,
        env,
        cwd: exec.cwd.unwrap_or_else(|| sandbox.cwd.clone()),
        limits: sandbox.limits,
        group: sandbox.group.clone(),
        terminal: exec.terminal,
    }
}

/// A program of the machine in the network namespace `name`.
#[must_use]
pub(super) fn visitor(name: &str, exec: Exec) -> ExecSpec {
    let mut env = BTreeMap::from([
        ("PATH".to_owned(), SANDBOX_PATH.to_owned()),
        ("HOME".to_owned(), "/".to_owned()),
    ]);
    env.extend(exec.env);
    ExecSpec {
        name: name.to_owned(),
        argv: exec.argv,
        env,
        cwd: exec.cwd.unwrap_or_else(|| PathBuf::from("/")),
        limits: ProcessLimits::default(),
        group: Membership::default(),
        terminal: exec.terminal,
    }
}

/// The folders of the instance's volumes.
pub(super) fn volumes(service: &Service, instance: &Instance, state: &StateDir) -> Vec<PathBuf> {
    let mounts = official::mounts(service).into_iter();
    mounts
        .filter_map(|mount| match &mount.source {
            compose::MountSource::Volume(name) => Some(state.volume(name)),
            compose::MountSource::Anonymous => Some(anonymous(state, instance, &mount.target)),
            compose::MountSource::Bind(_) | compose::MountSource::Tmpfs { .. } => None,
        })
        .collect()
}

/// The folder of a volume without a name. No named one is called like it: `@` is no letter of theirs.
fn anonymous(state: &StateDir, instance: &Instance, target: &Path) -> PathBuf {
    let path = target.to_string_lossy().replace('/', ".");
    state.volume(&format!(
        "{}@{}",
        instance.name,
        path.trim_start_matches('.')
    ))
}

/// Whether the service runs a program of that name: itself, or to be asked for its health.
fn mentions(service: &Service, name: &str) -> bool {
    let argv = argv(service);
    let test = service.healthcheck.iter().flat_map(|check| &check.test);
    argv.iter().chain(test).any(|word| word.contains(name))
}

/// Has the service run something else, as `docker run` does: an entrypoint replaces the command too, a command only itself.
pub(super) fn override_program(
    service: &mut Service,
    entrypoint: Option<Vec<String>>,
    command: Vec<String>,
) {
    if let Some(entrypoint) = entrypoint {
        service.entrypoint = Some(entrypoint);
        service.command = None;
    }
    if !command.is_empty() {
        service.command = Some(command);
    }
    let (entrypoint, command) = (&service.entrypoint, &service.command);
    if let Run::Exec { argv } = &mut service.run
        && (entrypoint.is_some() || command.is_some())
    {
        let words = entrypoint.iter().chain(command).flatten();
        *argv = words.cloned().collect();
    }
}

/// Entrypoint and command, with those of the image it stands for where the file is silent.
fn argv(service: &Service) -> Vec<String> {
    match &service.run {
        Run::Exec { argv } => argv.clone(),
        Run::Server(server) => official::argv(*server, service),
        Run::Cargo { package } => {
            let binary = vec![format!("/app/{package}")];
            let entrypoint = service.entrypoint.as_ref().unwrap_or(&binary);
            [
                entrypoint.as_slice(),
                service.command.as_deref().unwrap_or_default(),
            ]
            .concat()
        }
    }
}

fn environment(
    service: &Service,
    instance: &Instance,
    machine: &Machine<'_>,
) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::from([
        ("PATH".to_owned(), SANDBOX_PATH.to_owned()),
        ("HOME".to_owned(), "/tmp".to_owned()),
        ("HOSTNAME".to_owned(), instance.hostname.clone()),
    ]);
    if service.run == Run::Server(Server::Postgres) {
        environment.insert("PGDATA".to_owned(), "/var/lib/postgresql/data".to_owned());
        if let Some(programs) = &machine.postgres_programs {
            environment.insert(
                "PATH".to_owned(),
                format!("{}:{SANDBOX_PATH}", programs.display()),
            );
        }
    }
    environment.extend(service.environment.clone());
    environment
}

fn working_folder(service: &Service) -> PathBuf {
    let default = if service.run == Run::Server(Server::Redis) {
        "/data"
    } else {
        "/"
    };
    service
        .working_dir
        .clone()
        .unwrap_or_else(|| PathBuf::from(default))
}

fn read_only(source: &Path, target: &str) -> Mount {
    Mount {
        source: MountSource::Bind(source.to_owned()),
        target: PathBuf::from(target),
        read_only: true,
    }
}

/// PostgreSQL's programs of the newest version in `folder` (`/usr/lib/postgresql`, where Debian has one folder a version).
#[must_use]
pub(super) fn postgres_programs(folder: &Path) -> Option<PathBuf> {
    std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, programs)| programs.join("postgres").exists())
        .max()
        .map(|(_, programs)| programs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::{Source, read};
    use crate::plan::{Scale, plan};

    const FILE: &str = "
services:
  postgres:
    x-netns: { tier: db, run: { server: postgres } }
    volumes: [data:/var/lib/postgresql/data]
    networks: [db]
  redis:
    x-netns: { tier: db, run: { server: redis } }
    command: [redis-server, --port, '7000']
    networks: [db]
  shop:
    x-netns: { tier: db, run: { cargo: shop } }
    environment: { PATH: /own }
    networks: [db]
x-flows: [shop -> redis:7000]
networks: { db: { ipam: { config: [ { subnet: 10.1.0.0/24, gateway: 10.1.0.1, ip_range: 10.1.0.128/25 } ] } } }
volumes: { data: }
";

    fn sandbox_of(service: &str) -> SandboxSpec {
        let source = Source {
            path: "compose.yaml".into(),
            text: FILE.to_owned(),
        };
        let project = read(vec![source], Path::new("/p"), &BTreeMap::new()).unwrap();
        let plan = plan(&project, &Scale::new()).unwrap();
        let machine = Machine {
            state: &StateDir::new(Path::new("/state"), "p").unwrap(),
            binaries: &Binaries::from([("shop".to_owned(), PathBuf::from("/target/shop"))]),
            redis_names: Vec::new(),
            postgres_programs: Some(PathBuf::from("/usr/lib/postgresql/15/bin")),
            groups: None,
        };
        let instance = plan.instance(&format!("{service}-1")).unwrap();
        sandbox(&project.services[service], instance, &machine)
    }

    #[test]
    fn a_built_service_sees_its_binary_and_its_own_environment() {
        let shop = sandbox_of("shop");
        assert_eq!(shop.argv, ["/app/shop"]);
        assert_eq!(
            shop.mounts,
            [read_only(Path::new("/target/shop"), "/app/shop")]
        );
        assert_eq!(
            (shop.env["PATH"].as_str(), shop.env["HOSTNAME"].as_str()),
            ("/own", "shop-1")
        );
    }

    #[test]
    fn servers_keep_the_contract_of_their_images() {
        let postgres = sandbox_of("postgres");
        assert_eq!(postgres.argv, ["/bin/sh", POSTGRES_ENTRYPOINT, "postgres"]);
        assert!(postgres.env["PATH"].starts_with("/usr/lib/postgresql/15/bin:"));
        let data = postgres
            .mounts
            .iter()
            .find(|mount| mount.target == Path::new(&postgres.env["PGDATA"]))
            .unwrap();
        assert_eq!(
            data.source,
            MountSource::Bind("/state/p/volumes/data".into())
        );
        let redis = sandbox_of("redis");
        assert_eq!(redis.argv[..3], ["redis-server", "--port", "7000"]);
        assert_eq!(redis.cwd, Path::new("/data"));
    }
}
