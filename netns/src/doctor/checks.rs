//! What a machine's state means for the lab, and the remedy.

use std::io::{self, Write};

use serde::Serialize;

use super::machine::Machine;

/// The oldest PostgreSQL that the shop's SQL is written for.
const OLDEST_POSTGRES: u32 = 15;

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it is.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do; empty when there is nothing to be done.
    pub remedy: String,
    /// The Debian packages that bring it.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub packages: &'static [&'static str],
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    Ok,
    /// Worth knowing; the lab may come up all the same.
    Warning,
    /// The lab cannot come up.
    Missing,
}

/// Judges `machine`.
#[must_use]
pub fn checks(machine: &Machine) -> Vec<Check> {
    let mut found = vec![namespaces(machine), kernel(machine)];
    for (name, program, packages) in [
        ("nftables", "nft", &["nftables"] as &[_]),
        ("iproute2", "ip", &["iproute2"]),
        ("Redis server", "redis-server", &["redis-server"]),
        ("C compiler", "cc", &["gcc", "libc6-dev"]),
    ] {
        found.push(match machine.programs.get(program) {
            Some(path) => ok(name, path.display().to_string()),
            None => missing(
                name,
                format!("no {program}"),
                format!("apt-get install {}", packages.join(" ")),
                packages,
            ),
        });
    }
    found.insert(4, postgres(machine));
    found.push(match machine.programs.get("cargo") {
        Some(path) => ok("Cargo", path.display().to_string()),
        None => Check {
            state: State::Warning,
            ..missing(
                "Cargo",
                "no cargo".into(),
                "install Rust, see https://rustup.rs; `up --bin-dir` runs without it".into(),
                &[],
            )
        },
    });
    for port in [8080, 3000, 3001] {
        found.push(match machine.taken.get(&port) {
            None => ok(port_name(port), "free".into()),
            // The lab itself, most likely, when it is up.
            Some(listener) => Check {
                name: port_name(port),
                state: State::Warning,
                found: format!("{listener} listens on it"),
                remedy: format!(
                    "stop it, or publish another: {}=... in the environment or in .env",
                    variable(port)
                ),
                packages: &[],
            },
        });
    }
    found
}

/// Whether nothing needed is missing.
pub(super) fn well(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.state != State::Missing)
}

/// The packages that bring what is missing.
pub(super) fn packages(checks: &[Check]) -> Vec<&'static str> {
    checks
        .iter()
        .filter(|check| check.state == State::Missing)
        .flat_map(|check| check.packages)
        .copied()
        .collect()
}

/// The report for people.
pub(super) fn table(checks: &[Check], out: &mut impl Write) -> io::Result<()> {
    let width = checks
        .iter()
        .map(|check| check.name.len())
        .max()
        .unwrap_or(0);
    for check in checks {
        let state = match check.state {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Missing => "MISSING",
        };
        writeln!(out, "{state:8} {:width$}  {}", check.name, check.found)?;
        if !check.remedy.is_empty() {
            writeln!(out, "{:8} {:width$}  -> {}", "", "", check.remedy)?;
        }
    }
    Ok(())
}

pub(super) fn namespaces(machine: &Machine) -> Check {
    const NAME: &str = "namespaces";
    let Some(error) = &machine.namespaces else {
        return ok(
            NAME,
            "user, network, mount and PID namespaces can be entered".into(),
        );
    };
    let remedy = if machine.max_user_namespaces == Some(0) {
        "user.max_user_namespaces is 0: sysctl -w user.max_user_namespaces=65536, as root"
    } else if machine.clone_switched_off {
        "kernel.unprivileged_userns_clone is 0: sysctl -w kernel.unprivileged_userns_clone=1, as root"
    } else if machine.apparmor_restricts && !machine.root {
        APPARMOR
    } else {
        "a container or a security policy forbids it: allow unshare(2), or run on the machine itself"
    };
    missing(
        NAME,
        format!("a child cannot enter them: {error}"),
        remedy.into(),
        &[],
    )
}

const APPARMOR: &str = "give the netns-setup binary an AppArmor profile with `userns,`, or, until the next boot, as root: \
                        sysctl -w kernel.apparmor_restrict_unprivileged_userns=0";

fn kernel(machine: &Machine) -> Check {
    const NAME: &str = "kernel";
    if !machine.kernel_tried {
        let remedy = "comes by itself once what is missing here is there";
        return Check {
            state: State::Warning,
            ..missing(NAME, "not tried yet".into(), remedy.into(), &[])
        };
    }
    if machine.kernel_lacks.is_empty() {
        return ok(
            NAME,
            "bridge, veth, nf_tables with conntrack, nat and reject work".into(),
        );
    }
    let lacks: Vec<&str> = machine.kernel_lacks.iter().map(String::as_str).collect();
    let remedy = "load the modules as root (modprobe bridge veth nf_tables nft_ct nft_nat nft_reject_inet), or use a stock kernel";
    missing(
        NAME,
        format!("not supported by this kernel: {}", lacks.join(", ")),
        remedy.into(),
        &[],
    )
}

fn postgres(machine: &Machine) -> Check {
    const NAME: &str = "PostgreSQL server";
    let packages: &[_] = &["postgresql"];
    match machine.postgres.last() {
        None => missing(
            NAME,
            "no server in /usr/lib/postgresql".into(),
            "apt-get install postgresql".into(),
            packages,
        ),
        Some(version) if *version < OLDEST_POSTGRES => missing(
            NAME,
            format!("version {version}"),
            format!(
                "install version {OLDEST_POSTGRES} or newer, for instance from apt.postgresql.org"
            ),
            &[],
        ),
        Some(_) => {
            let versions: Vec<String> = machine.postgres.iter().map(ToString::to_string).collect();
            ok(NAME, format!("version {}", versions.join(", ")))
        }
    }
}

fn ok(name: &'static str, found: String) -> Check {
    Check {
        name,
        state: State::Ok,
        found,
        remedy: String::new(),
        packages: &[],
    }
}

fn missing(
    name: &'static str,
    found: String,
    remedy: String,
    packages: &'static [&'static str],
) -> Check {
    Check {
        name,
        state: State::Missing,
        found,
        remedy,
        packages,
    }
}

fn port_name(port: u16) -> &'static str {
    match port {
        8080 => "port 8080",
        3000 => "port 3000",
        _ => "port 3001",
    }
}

fn variable(port: u16) -> &'static str {
    match port {
        8080 => "HTTP_PORT",
        3000 => "GATEWAY_PORT",
        _ => "ADMIN_PORT",
    }
}

#[cfg(test)]
#[path = "checks_tests.rs"]
mod tests;
