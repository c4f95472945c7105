//! Machines that are not this one, judged.

use super::*;
use crate::doctor::{Answer, Asks, Docker, Group, Limits, Listener, Refused};

fn complete() -> Machine {
    let programs = ["nft", "ip", "tc", "redis-server", "cc", "cargo", "unshare"];
    Machine {
        root: false,
        release: "6.8.0-45-generic".into(),
        program: "/usr/local/bin/netns-setup".into(),
        namespaces: None,
        refused: Some(Refused::new()),
        ipvs: Some(true),
        programs: programs
            .iter()
            .map(|name| ((*name).to_owned(), format!("/x/{name}").into()))
            .collect(),
        versions: [
            ("redis-server", "Redis server v=7.0.15 sha=0"),
            ("nft", "nftables v1.0.6"),
        ]
        .map(|(name, said)| (name.to_owned(), said.to_owned()))
        .into(),
        postgres: [15, 17].into(),
        asks: Ok(Asks {
            ports: vec![8080],
            taken: [].into(),
            subnets: [].into(),
            routes: Some(Vec::new()),
            is_up: false,
        }),
        limits: Limits {
            groups: Some(Ok("v2: cpu, memory, pids".into())),
            files: Some(1 << 19),
            inotify: Some(1024),
            backlog: Some(4096),
            folder: Some(Ok("/x/underlay".into())),
            room: Some((40 << 30, "/x".into())),
        },
        namespace_numbers: [("max_user_namespaces", 90_000)].into(),
        apparmor_restricts: false,
        apparmor_profile: None,
        clone_switched_off: false,
        ..Machine::namespaces_only()
    }
}

/// What is not as it should be.
fn states(machine: &Machine) -> Vec<(String, State)> {
    checks(machine)
        .into_iter()
        .filter(|check| check.state != State::Ok)
        .map(|check| (check.name, check.state))
        .collect()
}

fn check(machine: &Machine, name: &str) -> Check {
    let found = checks(machine);
    found.into_iter().find(|check| check.name == name).unwrap()
}

#[test]
fn a_complete_machine_is_well() {
    assert_eq!(states(&complete()), []);
    assert!(packages(&checks(&complete())).is_empty());
}

#[test]
fn a_machine_without_its_programs_names_their_packages_and_guesses_nothing() {
    let mut bare = complete();
    bare.postgres.clear();
    bare.refused = None;
    bare.programs.retain(|name, _| name == "cc");
    let found = checks(&bare);
    assert!(!well(&found));
    assert_eq!(
        packages(&found),
        ["nftables", "iproute2", "postgresql", "redis-server"]
    );
    assert_eq!(check(&bare, "features").state, State::Unknown);
}

#[test]
fn versions_have_a_lower_end() {
    let with = |postgres: u32, redis: &str| Machine {
        postgres: [postgres].into(),
        versions: [("redis-server".to_owned(), redis.to_owned())].into(),
        ..complete()
    };
    assert_eq!(
        states(&with(13, "Redis server v=7.0.0")),
        [("PostgreSQL server".to_owned(), State::Missing)]
    );
    assert_eq!(
        states(&with(15, "Redis server v=6.0.16")),
        [("Redis server".to_owned(), State::Missing)]
    );
    assert_eq!(
        states(&with(15, "what?")),
        [("Redis server".to_owned(), State::Unknown)]
    );
    let old = Machine {
        release: "4.19.0-27-amd64".into(),
        ..complete()
    };
    assert_eq!(states(&old), [("version".to_owned(), State::Missing)]);
}

#[test]
fn a_file_without_servers_asks_for_none() {
    let mut machine = complete();
    machine.postgres.clear();
    machine
        .programs
        .retain(|name, _| ["nft", "ip", "tc", "unshare"].contains(&name.as_str()));
    machine.wants = crate::doctor::Wants {
        postgres: false,
        redis: false,
        cargo: false,
    };
    assert_eq!(states(&machine), []);
}

#[test]
fn what_is_optional_is_a_note() {
    let mut machine = complete();
    machine.refused = Some(
        [(
            "netem".to_owned(),
            "Error: Specified qdisc kind is unknown.".to_owned(),
        )]
        .into(),
    );
    machine.ipvs = Some(false);
    machine.programs.remove("cargo");
    machine.limits.groups = Some(Err((
        "not delegated to you".into(),
        "systemd-run --user --scope -p Delegate=yes".into(),
    )));
    machine.docker = Some(Docker {
        engine: Answer::Absent,
        compose: Answer::Absent,
        buildx: Answer::Absent,
    });
    let noted = states(&machine);
    let names: Vec<&str> = noted.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["netem", "IPVS", "Cargo", "control groups", "Docker"]
    );
    assert!(noted.iter().all(|(_, state)| *state == State::Note));
    for name in ["IPVS", "Docker"] {
        assert_ne!(check(&machine, name).remedy, "", "{name}");
    }
    assert!(well(&checks(&machine)));
    machine.ipvs = None;
    let ipvs = check(&machine, "IPVS");
    assert_eq!(
        (ipvs.state, ipvs.remedy.is_empty()),
        (State::Unknown, false)
    );
    machine.programs.remove("tc");
    assert_eq!(
        check(&machine, "netem").state,
        State::Unknown,
        "not tried is not unsupported"
    );
}

#[test]
fn what_a_lab_needs_of_the_kernel_is_missing_in_the_kernels_words() {
    let mut machine = complete();
    machine.refused = Some(
        [(
            "nat".to_owned(),
            "Error: Could not process rule: No such file or directory".to_owned(),
        )]
        .into(),
    );
    let nat = check(&machine, "nat");
    assert_eq!((nat.state, nat.group), (State::Missing, Group::Kernel));
    assert!(
        nat.found.ends_with("No such file or directory") && nat.remedy.contains("modprobe"),
        "{nat:?}"
    );
}

#[test]
fn a_taken_port_is_in_the_way() {
    let mut machine = complete();
    let listener = Listener {
        process: Some(("httpd".into(), 7)),
    };
    if let Ok(asks) = &mut machine.asks {
        asks.taken.insert(8080, listener);
    }
    let port = check(&machine, "port 8080");
    assert_eq!(
        (port.state, port.found.as_str()),
        (State::Missing, "httpd (process 7) listens on it")
    );
}

#[test]
fn each_switch_against_namespaces_has_its_remedy() {
    let refused = || Machine {
        namespaces: Some("EPERM".into()),
        ..complete()
    };
    let remedy = |machine: Machine| check(&machine, "namespaces").remedy;
    let none = Machine {
        namespace_numbers: [("max_net_namespaces", 0)].into(),
        ..refused()
    };
    assert!(remedy(none).starts_with("user.max_net_namespaces is 0"));
    let off = Machine {
        clone_switched_off: true,
        ..refused()
    };
    assert!(remedy(off).starts_with("kernel.unprivileged_userns_clone is 0"));
    // Ubuntu 24.04, an ordinary user.
    let restricts = Machine {
        apparmor_restricts: true,
        ..refused()
    };
    assert!(
        remedy(restricts.clone())
            .starts_with("AppArmor forbids it: `netns-setup doctor --install`")
    );
    // Root is not what AppArmor restricts, but is told of the others; in a container it is something else.
    assert!(
        remedy(Machine {
            root: true,
            ..restricts.clone()
        })
        .starts_with("a container")
    );
    let root = Machine {
        root: true,
        namespaces: None,
        ..restricts
    };
    assert_eq!(states(&root), [("AppArmor".to_owned(), State::Note)]);
    let few = Machine {
        namespace_numbers: [("max_user_namespaces", 100)].into(),
        ..complete()
    };
    assert_eq!(
        states(&few),
        [("namespaces' number".to_owned(), State::Note)]
    );
}
