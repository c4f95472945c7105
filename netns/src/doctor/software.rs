//! Programs: which a lab needs, which of them are there, and whether they are new enough.

use super::asked::version;
use super::check::{Check, Group};
use super::machine::Machine;

const GROUP: Group = Group::Programs;

/// The oldest versions that the shop is written for.
const OLDEST_POSTGRES: u32 = 15;
const OLDEST_REDIS: (u32, u32) = (7, 0);

/// What the Compose file's services are made of; everything when there is no file.
#[derive(Clone, Copy, Debug)]
pub struct Wants {
    /// PostgreSQL's server.
    pub postgres: bool,
    /// Redis' server, or Valkey's.
    pub redis: bool,
    /// Packages are built.
    pub cargo: bool,
}

impl Default for Wants {
    fn default() -> Self {
        Self {
            postgres: true,
            redis: true,
            cargo: true,
        }
    }
}

pub(super) fn checks(machine: &Machine) -> Vec<Check> {
    let wants = machine.wants;
    let mut found = vec![
        program(machine, "nftables", "nft", &["nftables"]),
        program(machine, "iproute2", "ip", &["iproute2"]),
    ];
    if wants.postgres {
        found.push(postgres(machine));
    }
    if wants.redis {
        found.push(redis(machine));
    }
    if wants.cargo {
        found.push(program(machine, "C compiler", "cc", &["gcc", "libc6-dev"]));
        found.push(match machine.programs.get("cargo") {
            Some(path) => Check::ok(GROUP, "Cargo", path.display().to_string()),
            None => Check::note(GROUP, "Cargo", "no cargo")
                .remedy("install Rust, see https://rustup.rs; `up --bin-dir` runs without it"),
        });
    }
    found
}

fn program(
    machine: &Machine,
    name: &str,
    program: &str,
    packages: &'static [&'static str],
) -> Check {
    match (machine.programs.get(program), machine.versions.get(program)) {
        (Some(path), Some(said)) => match version(said) {
            Some((major, minor)) => {
                Check::ok(GROUP, name, format!("{major}.{minor}, {}", path.display()))
            }
            None => Check::ok(GROUP, name, path.display().to_string()),
        },
        (Some(path), None) => Check::ok(GROUP, name, path.display().to_string()),
        (None, _) => Check::missing(GROUP, name, format!("no {program}")).packages(packages),
    }
}

fn postgres(machine: &Machine) -> Check {
    const NAME: &str = "PostgreSQL server";
    match machine.postgres.last() {
        None => Check::missing(GROUP, NAME, "no server in /usr/lib/postgresql")
            .packages(&["postgresql"]),
        Some(version) if *version < OLDEST_POSTGRES => {
            Check::missing(GROUP, NAME, format!("version {version}")).remedy(format!(
                "install version {OLDEST_POSTGRES} or newer, for instance from apt.postgresql.org"
            ))
        }
        Some(_) => {
            let versions: Vec<String> = machine.postgres.iter().map(ToString::to_string).collect();
            Check::ok(GROUP, NAME, format!("version {}", versions.join(", ")))
        }
    }
}

fn redis(machine: &Machine) -> Check {
    const NAME: &str = "Redis server";
    let server = ["redis-server", "valkey-server"]
        .into_iter()
        .find(|name| machine.programs.contains_key(*name));
    let Some(server) = server else {
        return Check::missing(GROUP, NAME, "no redis-server").packages(&["redis-server"]);
    };
    let path = machine.programs[server].display();
    match machine.versions.get(server).and_then(|said| version(said)) {
        None => Check::unknown(GROUP, NAME, format!("{path} does not say its version")),
        Some((major, minor)) if (major, minor) < OLDEST_REDIS => {
            Check::missing(GROUP, NAME, format!("version {major}.{minor}, {path}")).remedy(format!(
                "install version {} or newer, for instance from packages.redis.io",
                OLDEST_REDIS.0
            ))
        }
        Some((major, minor)) => Check::ok(GROUP, NAME, format!("version {major}.{minor}, {path}")),
    }
}
