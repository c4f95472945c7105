//! What `up` holds a project against before it touches anything: programs, folders, and volumes of another PostgreSQL.
//!
//! Ports are not among it: they are checked by being taken, since only that leaves nobody time to take them first.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::check::State;
use super::kernel::namespaces;
use super::machine::{Machine, postgres_versions, program};
use super::programs::{Lacking, lacking};
use crate::compose::{
    Diagnostic, FileKind, FileSource, MountSource, Project, Run, Server, Service,
};

/// Where the official image of PostgreSQL keeps its data.
const PGDATA: &str = "/var/lib/postgresql/data";

/// What the checks have to know of the machine.
#[derive(Debug, Default)]
struct Facts {
    postgres: BTreeSet<u32>,
    redis: bool,
    nft: bool,
    /// Major version by volume, as its `PG_VERSION` says.
    volumes: BTreeMap<String, u32>,
    /// Paths that the project names and the host lacks.
    absent: BTreeSet<PathBuf>,
    /// Programs that sandboxes lack, by service.
    lacking: BTreeMap<String, Vec<Lacking>>,
}

/// Everything that stands in the way of bringing `project` up, its named volumes being folders of `volumes`; empty when nothing does.
#[must_use]
pub fn preflight(project: &Project, volumes: &Path) -> Vec<Diagnostic> {
    let paths = project
        .services
        .values()
        .flat_map(|service| wanted(project, service));
    let facts = Facts {
        postgres: postgres_versions(Path::new("/usr/lib/postgresql")),
        redis: program("redis-server")
            .or_else(|| program("valkey-server"))
            .is_some(),
        nft: program("nft").is_some(),
        volumes: project
            .volumes
            .iter()
            .filter_map(|name| Some((name.clone(), version(&volumes.join(name))?)))
            .collect(),
        lacking: project
            .services
            .iter()
            .map(|(name, service)| (name.clone(), lacking(service)))
            .collect(),
        absent: paths.filter(|path| !path.exists()).collect(),
    };
    let mut found = judge(project, &facts);
    let namespaces = namespaces(&Machine::namespaces_only());
    if namespaces.state != State::Ok {
        let message = format!(
            "this machine's namespaces cannot be used: {}",
            namespaces.found
        );
        found.insert(
            0,
            Diagnostic::file(file(project), message, namespaces.remedy),
        );
    }
    found
}

/// The file that a problem of the machine is laid to.
fn file(project: &Project) -> PathBuf {
    project
        .sources
        .first()
        .map(|source| source.path.clone())
        .unwrap_or_default()
}

/// The major version that wrote a data directory. A first line of `17` is version 17.
fn version(folder: &Path) -> Option<u32> {
    fs::read_to_string(folder.join("PG_VERSION"))
        .ok()?
        .lines()
        .next()?
        .trim()
        .parse()
        .ok()
}

/// The paths of the host that a service cannot do without.
fn wanted(project: &Project, service: &Service) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = service
        .mounts
        .iter()
        .filter_map(|mount| match &mount.source {
            MountSource::Bind(path) => Some(path.clone()),
            MountSource::Volume(_) | MountSource::Anonymous | MountSource::Tmpfs { .. } => None,
        })
        .collect();
    for given in &service.files {
        let files = match given.kind {
            FileKind::Secret => &project.secrets,
            FileKind::Config => &project.configs,
        };
        if let Some(FileSource::File(path)) = files.get(&given.name).map(|file| &file.source) {
            paths.push(path.clone());
        }
    }
    paths
}

fn judge(project: &Project, facts: &Facts) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    if !facts.nft {
        found.push(Diagnostic::file(
            file(project),
            "there is no `nft` on this machine, and without it no policy",
            "run `netns-setup doctor --install`",
        ));
    }
    for service in project.services.values() {
        let mut report = |message: String, remedy: String| {
            found.push(Diagnostic::new(
                &project.sources,
                service.at,
                message,
                remedy,
            ));
        };
        let name = &service.name;
        match &service.run {
            Run::Server(Server::Redis) if !facts.redis => {
                report(
                    format!("`{name}` runs Redis, but there is no redis-server on this machine"),
                    "run `netns-setup doctor --install`".into(),
                );
            }
            Run::Server(Server::Postgres) => match facts.postgres.last() {
                None => {
                    report(
                        format!(
                            "`{name}` runs PostgreSQL, but there is no server in /usr/lib/postgresql"
                        ),
                        "run `netns-setup doctor --install`".into(),
                    );
                }
                Some(newest) => {
                    if let Some((volume, written)) = data(service, facts)
                        && !facts.postgres.contains(&written)
                    {
                        report(
                            format!(
                                "the volume `{volume}` of `{name}` was written by PostgreSQL {written}, but this machine has {newest}"
                            ),
                            format!(
                                "install postgresql-{written} beside it; or dump with {written} and restore into a new volume; or, if the data may go, `netns-setup down --volumes`"
                            ),
                        );
                    }
                }
            },
            _ => {}
        }
        for path in wanted(project, service)
            .into_iter()
            .filter(|path| facts.absent.contains(path))
        {
            report(
                format!(
                    "`{name}` needs {}, which is not on this machine",
                    path.display()
                ),
                "create or install it, or correct the path".into(),
            );
        }
        for Lacking { why, program, path } in facts.lacking.get(name).into_iter().flatten() {
            let places = path.as_ref().map_or_else(String::new, |path| {
                format!(" ({path}, and what the service mounts)")
            });
            report(
                format!("`{name}` {why} `{program}`, which its sandbox does not have{places}"),
                match *why {
                    "runs" => "install it in /usr, mount it, or say what to run in its place: x-netns: { run: { exec: [PROGRAM, ARGUMENT] } }".into(),
                    _ => "install it in /usr, mount it, or write a check that the sandbox can run".into(),
                },
            );
        }
    }
    found
}

/// The volume that holds a service's database, and the major version that wrote it.
fn data<'p>(service: &'p Service, facts: &Facts) -> Option<(&'p str, u32)> {
    let folder = service
        .environment
        .get("PGDATA")
        .map_or(PGDATA, String::as_str);
    service.mounts.iter().find_map(|mount| match &mount.source {
        MountSource::Volume(name) if mount.target == Path::new(folder) => {
            Some((name.as_str(), *facts.volumes.get(name)?))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::{Source, read};

    fn project(text: &str) -> Project {
        read(
            vec![Source {
                path: "c.yml".into(),
                text: text.to_owned(),
            }],
            Path::new("/nowhere"),
            &BTreeMap::new(),
        )
        .unwrap()
    }

    fn complete() -> Facts {
        Facts {
            postgres: [15, 16].into(),
            redis: true,
            nft: true,
            ..Facts::default()
        }
    }

    #[test]
    fn a_volume_of_another_major_version_is_refused_with_the_way_out() {
        let project = project(
            "services:\n  db: {image: postgres, volumes: [data:/var/lib/postgresql/data]}\nvolumes: {data: }\n",
        );
        let with = |written| Facts {
            volumes: [("data".to_owned(), written)].into(),
            ..complete()
        };
        assert!(judge(&project, &complete()).is_empty());
        assert!(judge(&project, &with(15)).is_empty());
        let found = judge(&project, &with(17));
        assert_eq!((found[0].line, found[0].column), (2, 3));
        assert_eq!(
            found[0].message,
            "the volume `data` of `db` was written by PostgreSQL 17, but this machine has 16"
        );
        assert!(
            found[0]
                .remedy
                .starts_with("install postgresql-17 beside it")
        );
    }

    #[test]
    fn what_the_machine_lacks_is_named_with_the_service() {
        let project = project(
            "services:\n  cache: {image: redis}\n  db: {image: postgres}\n  tool: {entrypoint: /no/such/tool, volumes: [./gone:/x]}\n",
        );
        let facts = Facts {
            absent: ["/nowhere/gone".into()].into(),
            lacking: [(
                "tool".to_owned(),
                vec![Lacking {
                    why: "runs",
                    program: "/no/such/tool".to_owned(),
                    path: None,
                }],
            )]
            .into(),
            ..Facts::default()
        };
        let found: Vec<_> = judge(&project, &facts)
            .iter()
            .map(|found| format!("{} {}", found.line, found.message))
            .collect();
        assert_eq!(
            found,
            [
                "0 there is no `nft` on this machine, and without it no policy",
                "2 `cache` runs Redis, but there is no redis-server on this machine",
                "3 `db` runs PostgreSQL, but there is no server in /usr/lib/postgresql",
                "4 `tool` needs /nowhere/gone, which is not on this machine",
                "4 `tool` runs `/no/such/tool`, which its sandbox does not have",
            ]
        );
    }

    #[test]
    fn a_data_directory_is_read() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        fs::write(dir.path().join("data/PG_VERSION"), "9\n").unwrap();
        let project = project(
            "services:\n  db: {image: postgres, volumes: [data:/var/lib/postgresql/data]}\nvolumes: {data: }\n",
        );
        let found = preflight(&project, dir.path());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].message.contains("PostgreSQL 9"));
    }
}
