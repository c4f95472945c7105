//! Machines that are not this one, judged.

use super::*;
use crate::doctor::Listener;

fn complete() -> Machine {
    Machine {
        kernel_tried: true,
        programs: ["nft", "ip", "redis-server", "cc", "cargo", "unshare"]
            .iter()
            .map(|name| ((*name).to_owned(), format!("/x/{name}").into()))
            .collect(),
        postgres: [15, 17].into(),
        ..Machine::default()
    }
}

fn states(machine: &Machine) -> Vec<(&'static str, State)> {
    checks(machine)
        .into_iter()
        .filter(|check| check.state != State::Ok)
        .map(|check| (check.name, check.state))
        .collect()
}

#[test]
fn a_complete_machine_is_well() {
    assert_eq!(states(&complete()), []);
    assert!(packages(&checks(&complete())).is_empty());
}

#[test]
fn what_is_missing_names_its_packages() {
    let mut bare = complete();
    bare.postgres.clear();
    bare.kernel_tried = false;
    bare.programs.retain(|name, _| name == "cc");
    let found = checks(&bare);
    assert!(!well(&found));
    assert_eq!(
        packages(&found),
        ["nftables", "iproute2", "postgresql", "redis-server"]
    );
    let old = Machine {
        postgres: [13].into(),
        ..complete()
    };
    assert_eq!(states(&old), [("PostgreSQL server", State::Missing)]);
    assert!(packages(&checks(&old)).is_empty());
}

#[test]
fn a_taken_port_or_a_missing_cargo_is_no_obstacle() {
    let mut machine = complete();
    machine.taken.insert(
        8080,
        Listener {
            process: Some(("httpd".into(), 7)),
        },
    );
    machine.programs.remove("cargo");
    assert_eq!(
        states(&machine),
        [("Cargo", State::Warning), ("port 8080", State::Warning)]
    );
    let mut text = Vec::new();
    table(&checks(&machine), &mut text).unwrap();
    assert!(
        String::from_utf8(text)
            .unwrap()
            .contains("warning  port 8080          httpd (process 7) listens on it\n")
    );
}

#[test]
fn each_switch_against_namespaces_has_its_remedy() {
    let remedy = |machine: Machine| checks(&machine)[0].remedy.clone();
    let refused = || Machine {
        namespaces: Some("EPERM".into()),
        ..complete()
    };
    assert!(
        remedy(Machine {
            max_user_namespaces: Some(0),
            ..refused()
        })
        .starts_with("user.max_user_namespaces is 0")
    );
    assert!(
        remedy(Machine {
            clone_switched_off: true,
            ..refused()
        })
        .starts_with("kernel.unprivileged_userns_clone is 0")
    );
    let restricts = Machine {
        apparmor_restricts: true,
        ..refused()
    };
    assert!(remedy(restricts.clone()).starts_with("give the netns-setup binary"));
    // Root is not what AppArmor restricts, and a program with a profile is let in: then all is well.
    assert!(
        remedy(Machine {
            root: true,
            ..restricts
        })
        .starts_with("a container")
    );
    assert_eq!(
        remedy(Machine {
            apparmor_restricts: true,
            ..complete()
        }),
        ""
    );
}
