//! What the servers' official images do where the Compose file is silent: command, folders, names. Pure, but for what the machine has.

use std::path::{Path, PathBuf};

use crate::compose::{Mount, MountSource, Run, Server, Service};

/// Where the entrypoint that speaks for the official PostgreSQL image is shown.
pub(super) const POSTGRES_ENTRYPOINT: &str = "/docker-entrypoint.sh";
/// Where the official images keep data.
const POSTGRES_DATA: &str = "/var/lib/postgresql/data";
const REDIS_DATA: &str = "/data";
/// Where PostgreSQL's socket is, by both of its paths.
const POSTGRES_SOCKETS: [&str; 2] = ["/var/run/postgresql", "/run/postgresql"];
/// Redis and Valkey are one server with two names here: a file that says one runs on a machine that has the other.
const REDIS_NAMES: [[&str; 2]; 2] = [
    ["redis-server", "valkey-server"],
    ["redis-cli", "valkey-cli"],
];

/// Entrypoint and command of a service that runs a server.
pub(super) fn argv(server: Server, service: &Service) -> Vec<String> {
    let (entrypoint, command) = match server {
        Server::Postgres => (vec!["/bin/sh", POSTGRES_ENTRYPOINT], "postgres"),
        Server::Redis => (Vec::new(), "redis-server"),
    };
    // As in Docker: an entrypoint of the file's own also replaces the image's command.
    let command = match (&service.command, &service.entrypoint) {
        (Some(command), _) => command.clone(),
        (None, Some(_)) => Vec::new(),
        (None, None) => vec![command.to_owned()],
    };
    match (&service.entrypoint, server) {
        (Some(entrypoint), _) => [entrypoint.as_slice(), &command].concat(),
        (None, Server::Redis) => redis(command),
        (None, Server::Postgres) => {
            let entrypoint = entrypoint.into_iter().map(str::to_owned);
            entrypoint.chain(command).collect()
        }
    }
}

/// The entrypoint of the official image: options and a configuration file are the server's. The image is built without Redis's
/// protected mode, in which a server without a password answers its own machine alone; a configuration file decides for itself.
fn redis(mut argv: Vec<String>) -> Vec<String> {
    if argv
        .first()
        .is_none_or(|word| word.starts_with('-') || word.ends_with(".conf"))
    {
        argv.insert(0, "redis-server".to_owned());
    }
    let is_server = REDIS_NAMES[0].contains(&argv[0].as_str());
    let has_file = argv.get(1).is_some_and(|word| !word.starts_with("--"));
    if is_server && !has_file && !argv.iter().any(|word| word == "--protected-mode") {
        argv.extend(["--protected-mode".to_owned(), "no".to_owned()]);
    }
    argv
}

/// Everything that a service mounts: what the file says, and the volumes and folders of its image that the file does not mention.
pub(super) fn mounts(service: &Service) -> Vec<Mount> {
    let mut mounts = service.mounts.clone();
    let Run::Server(server) = service.run else {
        return mounts;
    };
    let data = match server {
        Server::Postgres => service
            .environment
            .get("PGDATA")
            .map_or(POSTGRES_DATA, String::as_str),
        Server::Redis => REDIS_DATA,
    };
    let covers = |mounts: &[Mount], path: &str| {
        mounts
            .iter()
            .any(|mount| Path::new(path).starts_with(&mount.target))
    };
    if !covers(&mounts, data) {
        mounts.push(writable(MountSource::Anonymous, data));
    }
    if server == Server::Postgres && !POSTGRES_SOCKETS.iter().any(|path| covers(&mounts, path)) {
        let memory = MountSource::Tmpfs {
            size: None,
            mode: None,
        };
        mounts.push(writable(memory, POSTGRES_SOCKETS[0]));
    }
    mounts
}

fn writable(source: MountSource, target: &str) -> Mount {
    Mount {
        source,
        target: PathBuf::from(target),
        read_only: false,
    }
}

/// Names of Redis's programs that this machine lacks, each with the program that has the other name.
pub(super) fn redis_names(folders: &str) -> Vec<(&'static str, PathBuf)> {
    let find = |name: &str| {
        let mut folders = folders
            .split(':')
            .map(|folder| Path::new(folder).join(name));
        folders.find(|path| path.is_file())
    };
    let mut names = Vec::new();
    for [one, other] in REDIS_NAMES {
        match (find(one), find(other)) {
            (Some(path), None) => names.push((other, path)),
            (None, Some(path)) => names.push((one, path)),
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redis_takes_its_arguments_as_its_image_does() {
        for (command, expected) in [
            ("redis-server", "redis-server --protected-mode no"),
            (
                "valkey-server --save 60 1",
                "valkey-server --save 60 1 --protected-mode no",
            ),
            (
                "--appendonly yes",
                "redis-server --appendonly yes --protected-mode no",
            ),
            ("--protected-mode yes", "redis-server --protected-mode yes"),
            ("/etc/redis.conf", "redis-server /etc/redis.conf"),
            (
                "redis-server /etc/redis.conf --port 1",
                "redis-server /etc/redis.conf --port 1",
            ),
            ("redis-cli ping", "redis-cli ping"),
        ] {
            let words = command.split(' ').map(str::to_owned).collect();
            assert_eq!(redis(words).join(" "), expected);
        }
    }

    #[test]
    fn a_name_that_is_missing_is_lent_by_its_twin() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().to_str().unwrap();
        assert!(redis_names(folder).is_empty());
        std::fs::write(dir.path().join("valkey-server"), "").unwrap();
        assert_eq!(
            redis_names(&format!("/nowhere:{folder}")),
            [("redis-server", dir.path().join("valkey-server"))]
        );
    }
}
