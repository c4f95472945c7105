//! The table of keys that Compose knows and a lab cannot give: refused, each with what to do instead.

use super::docker_only::Scope;

/// A scope, a key, and what to do about it.
const TABLE: &[(Scope, &str, &str)] = &[
    (
        Scope::File,
        "include",
        "remove it, and lay the files on top of each other: netns-setup -f a.yaml -f b.yaml",
    ),
    (Scope::File, "models", "remove it: no models are run"),
    (
        Scope::Service,
        "device_cgroup_rules",
        "remove it: a sandbox has no devices of the machine",
    ),
    (
        Scope::Service,
        "devices",
        "remove it: a sandbox has no devices of the machine",
    ),
    (
        Scope::Service,
        "external_links",
        "remove it: a lab reaches nothing outside itself; declare the other service here",
    ),
    (
        Scope::Service,
        "gpus",
        "remove it: a sandbox has no devices of the machine",
    ),
    (
        Scope::Service,
        "ipc",
        "remove it: every sandbox has an IPC namespace of its own",
    ),
    (Scope::Service, "models", "remove it: no models are run"),
    (
        Scope::Service,
        "pid",
        "remove it: every sandbox has a PID namespace of its own",
    ),
    (
        Scope::Service,
        "post_start",
        "remove it, and run it as a service of its own that depends on this one",
    ),
    (
        Scope::Service,
        "pre_stop",
        "remove it, and do it when the program gets its stop signal",
    ),
    (
        Scope::Service,
        "privileged",
        "remove it: a sandbox has no privileges, and gives none",
    ),
    (
        Scope::Service,
        "provider",
        "remove it: there is nobody to provide it",
    ),
    (
        Scope::Service,
        "use_api_socket",
        "remove it: there is no Docker engine to talk to",
    ),
    (
        Scope::Service,
        "volumes_from",
        "write the volumes of that service out here",
    ),
    (
        Scope::ServiceNetwork,
        "ipv6_address",
        "remove it: a lab's networks are IPv4",
    ),
    (
        Scope::MountedVolume,
        "subpath",
        "mount the whole volume, or a folder of this machine: { type: bind, source: ./FOLDER, target: ... }",
    ),
];

/// What to do about a key that is known and not supported.
pub(super) fn remedy(scope: Scope, key: &str) -> Option<&'static str> {
    TABLE
        .iter()
        .find(|(at, name, _)| *at == scope && *name == key)
        .map(|(_, _, remedy)| *remedy)
}
