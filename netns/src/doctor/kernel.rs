//! The kernel: its version, namespaces, what it can do, and what of it others use.

use super::asked::version;
use super::check::{Check, Group};
use super::machine::Machine;
use super::{apparmor, trial};

const GROUP: Group = Group::Kernel;

/// Process file descriptors (`pidfd_open(2)`), which the lab is watched by, came with 5.3.
const OLDEST: (u32, u32) = (5, 3);

/// Namespaces a kind that a small lab needs: six an instance, or so.
const FEW: u64 = 512;

pub(super) fn checks(machine: &Machine) -> Vec<Check> {
    let mut found = vec![release(machine), namespaces(machine)];
    found.extend(numbers(machine));
    found.extend(apparmor::check(machine));
    found.extend(trial::judged(machine));
    found.push(br_netfilter(machine));
    found.push(ipvs(machine));
    found
}

fn release(machine: &Machine) -> Check {
    const NAME: &str = "version";
    match version(&machine.release) {
        None => Check::unknown(GROUP, NAME, format!("{:?}", machine.release)),
        Some(found) if found < OLDEST => Check::missing(
            GROUP,
            NAME,
            format!("{}: older than {}.{}", machine.release, OLDEST.0, OLDEST.1),
        )
        .remedy("use a newer kernel"),
        Some(_) => Check::ok(GROUP, NAME, &machine.release),
    }
}

/// Whether the lab's namespaces can be entered, and which switch forbids it.
pub(super) fn namespaces(machine: &Machine) -> Check {
    const NAME: &str = "namespaces";
    let Some(error) = &machine.namespaces else {
        return Check::ok(
            GROUP,
            NAME,
            "user, network, mount and PID namespaces can be entered",
        );
    };
    let none = machine
        .namespace_numbers
        .iter()
        .find(|(_, most)| **most == 0);
    let remedy = if let Some((kind, _)) = none {
        format!("user.{kind} is 0: sysctl -w user.{kind}=65536, as root")
    } else if machine.clone_switched_off {
        "kernel.unprivileged_userns_clone is 0: sysctl -w kernel.unprivileged_userns_clone=1, as root".to_owned()
    } else if machine.apparmor_restricts && !machine.root {
        apparmor::REMEDY.to_owned()
    } else {
        "a container or a security policy forbids it: allow unshare(2), or run on the machine itself".to_owned()
    };
    Check::missing(GROUP, NAME, format!("a child cannot enter them: {error}")).remedy(remedy)
}

/// `user.max_*_namespaces` that are low; at 0 it is the namespaces that say so.
fn numbers(machine: &Machine) -> Option<Check> {
    let (kind, most) = machine
        .namespace_numbers
        .iter()
        .min_by_key(|(_, most)| **most)?;
    (1..FEW).contains(most).then(|| {
        Check::note(
            GROUP,
            "namespaces' number",
            format!("user.{kind} is {most}, enough for a small lab alone"),
        )
        .remedy(format!("as root: sysctl -w user.{kind}=65536"))
    })
}

fn br_netfilter(machine: &Machine) -> Check {
    const NAME: &str = "br_netfilter";
    match machine.bridge_calls {
        None => Check::ok(
            GROUP,
            NAME,
            "absent: bridged packets pass no iptables; the lab's policy needs none",
        ),
        Some(0) => Check::ok(
            GROUP,
            NAME,
            "present, and switched off (bridge-nf-call-iptables is 0)",
        ),
        Some(_) => Check::ok(
            GROUP,
            NAME,
            "present: bridged packets of this host pass its iptables too; the lab's policy does not depend on it",
        ),
    }
}

fn ipvs(machine: &Machine) -> Check {
    const NAME: &str = "IPVS";
    const WITHOUT: &str =
        "Swarm's virtual addresses would not balance; docker-compose-swarm.yml uses none";
    match machine.ipvs {
        Some(true) => Check::ok(GROUP, NAME, "present: Swarm's virtual addresses work"),
        Some(false) => Check::note(
            GROUP,
            NAME,
            format!("not supported by this kernel: {WITHOUT}"),
        )
        .remedy("deploy services as that file does, with endpoint_mode: dnsrr, or boot a kernel built with CONFIG_IP_VS"),
        None => Check::unknown(
            GROUP,
            NAME,
            format!("neither loaded nor listed among this kernel's modules. Without it {WITHOUT}"),
        )
        .remedy("try it, as root: modprobe ip_vs"),
    }
}
