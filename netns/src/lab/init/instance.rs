//! From a service of the file to the sandbox of one of its instances. Pure.

use std::path::{Path, PathBuf};

use super::invocation::{argv, environment, working_folder};
use super::machine::Machine;
use super::official::{self, POSTGRES_ENTRYPOINT};
use crate::compose::{self, Run, Server, Service};
use crate::kernel::sandbox::{Mount, MountSource, ProcessLimits, SandboxSpec};
use crate::lab::state::StateDir;
use crate::lab::supervise::{Dependency, ProbeTimes, Unit};
use crate::plan::Instance;

/// That script, which serves container images as well.
pub(super) const POSTGRES_ENTRYPOINT_TEXT: &str =
    include_str!("../../../../docker/postgres/docker-entrypoint.sh");
/// Its file in the state folder's `run`.
pub(super) const POSTGRES_ENTRYPOINT_FILE: &str = "postgres-entrypoint.sh";

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

fn read_only(source: &Path, target: &str) -> Mount {
    Mount {
        source: MountSource::Bind(source.to_owned()),
        target: PathBuf::from(target),
        read_only: true,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::compose::{Source, read};
    use crate::lab::build::Binaries;
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
