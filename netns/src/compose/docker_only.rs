//! The one table of keys that only mean something to Docker: read over without a word, each for the reason given. What would change
//! how a service runs is not here: it is understood, refused (`unsupported`) or said (`differs`).

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    File,
    Service,
    ServiceNetwork,
    Port,
    Deploy,
    RestartPolicy,
    Resources,
    Mount,
    MountedVolume,
    Network,
    Ipam,
    Volume,
    GivenFile,
    FileMount,
}

/// A scope, a key, and why leaving it out changes nothing here.
const TABLE: &[(Scope, &str, &str)] = &[
    (
        Scope::File,
        "version",
        "obsolete in the Compose Specification",
    ),
    (Scope::Service, "annotations", "nothing here reads them"),
    (
        Scope::Service,
        "attach",
        "concerns the terminal of `docker compose up`",
    ),
    (
        Scope::Service,
        "blkio_config",
        "disks are not shared out here",
    ),
    (
        Scope::Service,
        "build",
        "Cargo packages are built from the workspace, servers are the machine's own",
    ),
    (
        Scope::Service,
        "cap_add",
        "a sandbox has no capabilities, and what it runs needs none",
    ),
    (
        Scope::Service,
        "cap_drop",
        "a sandbox has no capabilities to begin with",
    ),
    (Scope::Service, "cgroup", "a sandbox sees no control groups"),
    (
        Scope::Service,
        "cgroup_parent",
        "control groups are the lab's own",
    ),
    (Scope::Service, "cpu_count", "concerns Windows"),
    (Scope::Service, "cpu_percent", "concerns Windows"),
    (
        Scope::Service,
        "cpu_rt_period",
        "nothing here is scheduled in real time",
    ),
    (
        Scope::Service,
        "cpu_rt_runtime",
        "nothing here is scheduled in real time",
    ),
    (
        Scope::Service,
        "cpu_shares",
        "a weight among containers, no limit",
    ),
    (Scope::Service, "credential_spec", "concerns Windows"),
    (Scope::Service, "develop", "concerns `docker compose watch`"),
    (
        Scope::Service,
        "dns",
        "names are in /etc/hosts, and no name server is asked",
    ),
    (
        Scope::Service,
        "dns_opt",
        "names are in /etc/hosts, and no name server is asked",
    ),
    (
        Scope::Service,
        "dns_search",
        "names are in /etc/hosts, and no name server is asked",
    ),
    (
        Scope::Service,
        "domainname",
        "names are in /etc/hosts, and no name server is asked",
    ),
    (
        Scope::Service,
        "group_add",
        "a sandbox has one user and one group",
    ),
    (Scope::Service, "isolation", "concerns Windows"),
    (Scope::Service, "label_file", "nothing here reads them"),
    (Scope::Service, "labels", "nothing here reads them"),
    (
        Scope::Service,
        "logging",
        "logs go to files of the lab, with a size limit of its own",
    ),
    (
        Scope::Service,
        "mac_address",
        "the plan gives each interface its own",
    ),
    (
        Scope::Service,
        "mem_reservation",
        "concerns a scheduler under pressure",
    ),
    (
        Scope::Service,
        "mem_swappiness",
        "concerns a scheduler under pressure",
    ),
    (
        Scope::Service,
        "oom_kill_disable",
        "what exceeds its memory is ended",
    ),
    (
        Scope::Service,
        "oom_score_adj",
        "concerns a machine without memory",
    ),
    (
        Scope::Service,
        "platform",
        "what runs is built for or installed on this machine",
    ),
    (Scope::Service, "pull_policy", "no image is ever pulled"),
    (
        Scope::Service,
        "read_only",
        "the root of a sandbox is always read-only outside its mounts",
    ),
    (
        Scope::Service,
        "runtime",
        "there is one way to run a sandbox",
    ),
    (
        Scope::Service,
        "security_opt",
        "no_new_privs and a system call filter are always set",
    ),
    (Scope::Service, "stdin_open", "instances have no terminal"),
    (
        Scope::Service,
        "storage_opt",
        "there is no image to copy from",
    ),
    (Scope::Service, "tty", "instances have no terminal"),
    (
        Scope::Service,
        "userns_mode",
        "every sandbox has a user namespace of its own",
    ),
    (
        Scope::Service,
        "uts",
        "every sandbox has a UTS namespace of its own",
    ),
    (
        Scope::ServiceNetwork,
        "driver_opts",
        "every network is a Linux bridge",
    ),
    (
        Scope::ServiceNetwork,
        "gw_priority",
        "an instance has one interface",
    ),
    (
        Scope::ServiceNetwork,
        "link_local_ips",
        "an instance has one address",
    ),
    (
        Scope::ServiceNetwork,
        "mac_address",
        "the plan gives each interface its own",
    ),
    (
        Scope::ServiceNetwork,
        "priority",
        "an instance has one interface",
    ),
    (Scope::Port, "app_protocol", "documentation"),
    (Scope::Port, "mode", "concerns Swarm"),
    (Scope::Port, "name", "documentation"),
    (Scope::Deploy, "endpoint_mode", "concerns Swarm"),
    (Scope::Deploy, "labels", "nothing here reads them"),
    (Scope::Deploy, "mode", "concerns Swarm"),
    (Scope::Deploy, "placement", "concerns Swarm"),
    (Scope::Deploy, "rollback_config", "concerns Swarm"),
    (Scope::Deploy, "update_config", "concerns Swarm"),
    (
        Scope::RestartPolicy,
        "delay",
        "Compose waits as it sees fit too, longer each time",
    ),
    (
        Scope::RestartPolicy,
        "window",
        "Compose counts every restart too",
    ),
    (
        Scope::Resources,
        "reservations",
        "concerns a scheduler of several hosts",
    ),
    (
        Scope::Mount,
        "bind",
        "propagation and SELinux labels do not reach into a sandbox",
    ),
    (Scope::Mount, "consistency", "concerns Docker Desktop"),
    (Scope::MountedVolume, "labels", "nothing here reads them"),
    (
        Scope::MountedVolume,
        "nocopy",
        "there is no image to copy from",
    ),
    (Scope::Network, "attachable", "concerns Swarm"),
    (Scope::Network, "driver", "every network is a Linux bridge"),
    (
        Scope::Network,
        "driver_opts",
        "every network is a Linux bridge",
    ),
    (
        Scope::Network,
        "internal",
        "every network is: nothing leaves the lab but by published ports",
    ),
    (Scope::Network, "labels", "nothing here reads them"),
    (Scope::Network, "name", "a lab has its own names"),
    (Scope::Ipam, "driver", "addresses are given by the plan"),
    (Scope::Ipam, "options", "addresses are given by the plan"),
    (
        Scope::Volume,
        "driver",
        "volumes are folders of the lab's state",
    ),
    (
        Scope::Volume,
        "driver_opts",
        "volumes are folders of the lab's state; a `device` in it is refused",
    ),
    (Scope::Volume, "labels", "nothing here reads them"),
    (
        Scope::Volume,
        "name",
        "volumes are folders of the lab's state",
    ),
    (Scope::GivenFile, "driver", "concerns Swarm"),
    (Scope::GivenFile, "labels", "nothing here reads them"),
    (Scope::GivenFile, "name", "a lab has its own names"),
    (Scope::GivenFile, "template_driver", "concerns Swarm"),
    (
        Scope::FileMount,
        "gid",
        "as in Compose: the one user of the sandbox reads it",
    ),
    (
        Scope::FileMount,
        "mode",
        "as in Compose: the one user of the sandbox reads it",
    ),
    (
        Scope::FileMount,
        "uid",
        "as in Compose: the one user of the sandbox reads it",
    ),
];

/// Whether `key` is one of Docker's own in that place.
pub(super) fn contains(scope: Scope, key: &str) -> bool {
    TABLE
        .iter()
        .any(|(at, name, _)| *at == scope && *name == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_stands_once_in_order_and_has_a_reason() {
        for pair in TABLE.windows(2) {
            assert!(
                (pair[0].0 as u8, pair[0].1) < (pair[1].0 as u8, pair[1].1),
                "{} / {}",
                pair[0].1,
                pair[1].1
            );
        }
        assert!(TABLE.iter().all(|(_, _, reason)| !reason.is_empty()));
    }
}
