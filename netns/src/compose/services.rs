//! `services`: one entry each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::docker_only::Scope;
use super::image;
use super::limits::MOST_REPLICAS;
use super::model::{Alias, FileKind, GivenFile, Network, Restart, Service};
use super::node::{Key, Node};
use super::reader::Reader;

const KNOWN: &[&str] = &[
    "command",
    "configs",
    "container_name",
    "cpu_period",
    "cpu_quota",
    "cpus",
    "depends_on",
    "deploy",
    "entrypoint",
    "env_file",
    "environment",
    "expose",
    "extends",
    "extra_hosts",
    "healthcheck",
    "hostname",
    "image",
    "init",
    "links",
    "mem_limit",
    "network_mode",
    "networks",
    "pids_limit",
    "ports",
    "profiles",
    "restart",
    "scale",
    "secrets",
    "shm_size",
    "stop_grace_period",
    "stop_signal",
    "sysctls",
    "tmpfs",
    "ulimits",
    "user",
    "volumes",
    "working_dir",
    "x-netns",
];

/// What a service may refer to.
pub(super) struct Declared<'a> {
    pub(super) networks: &'a BTreeMap<String, Network>,
    pub(super) volumes: &'a BTreeSet<String>,
    pub(super) secrets: &'a BTreeMap<String, GivenFile>,
    pub(super) configs: &'a BTreeMap<String, GivenFile>,
}

impl Reader<'_> {
    /// One service.
    pub(super) fn service(&mut self, key: &Key, node: &Node, declared: &Declared<'_>) -> Service {
        let name = key.name.clone();
        let what = format!("service `{name}`");
        let fields = self.fields(node, &what, Some(Scope::Service), KNOWN);
        let get = |key: &str| fields.get(key).map(|(_, node)| *node);
        let within = |key: &str| format!("{key} of {what}");

        let entrypoint = get("entrypoint").and_then(|node| self.words(node, "entrypoint"));
        let command = get("command").and_then(|node| self.words(node, "command"));
        let image = get("image")
            .and_then(|node| self.text(node, "image"))
            .map(str::to_owned);
        let extension = self.extension(get("x-netns"));
        let run = self.run(
            key,
            extension.run,
            image.as_deref(),
            entrypoint.as_deref(),
            command.as_deref(),
        );
        let mut environment = get("env_file")
            .map(|node| self.env_files(node))
            .unwrap_or_default();
        if let Some(node) = get("environment") {
            environment.extend(self.environment(node));
        }
        let mut mounts = get("volumes")
            .map(|node| self.volumes(node, &within("volumes"), declared.volumes))
            .unwrap_or_default();
        mounts.extend(
            get("tmpfs")
                .map(|node| self.tmpfs(node, &within("tmpfs")))
                .unwrap_or_default(),
        );
        mounts.extend(get("shm_size").and_then(|node| self.shm(node)));
        let mut files = Vec::new();
        for (kind, declared) in [
            (FileKind::Secret, declared.secrets),
            (FileKind::Config, declared.configs),
        ] {
            if let Some(node) = get(kind.key()) {
                files.extend(self.given(node, kind, declared));
            }
        }
        let mut targets = BTreeSet::new();
        let given = files.iter().map(|file| &file.target);
        for target in mounts.iter().map(|mount| &mount.target).chain(given) {
            if !targets.insert(target) {
                let at = ["volumes", "tmpfs", "secrets", "configs"]
                    .into_iter()
                    .find_map(get)
                    .map_or(key.at, |node| node.at);
                self.error(
                    at,
                    format!("{what} mounts {} twice", target.display()),
                    "keep one of them",
                );
            }
        }
        let deploy = get("deploy")
            .map(|node| self.deploy(node))
            .unwrap_or_default();
        let replicas = get("scale").map_or(deploy.replicas, |node| {
            self.number(node, "scale", 0, MOST_REPLICAS).unwrap_or(1)
        });
        let limits = self.limits(deploy.limits, &get);
        if let Some(node) = get("init") {
            self.init(node);
        }
        let user = get("user").and_then(|node| self.user(node, &run, image.as_deref()));

        let (attachment, mut aliases) = self.attachment(
            &name,
            get("network_mode"),
            get("networks"),
            extension.tier,
            declared,
        );
        if let Some(node) = get("container_name") {
            let text = self.text(node, "container_name");
            let container = text.and_then(|text| self.host_name(node.at, text, "container_name"));
            aliases.extend(container.map(|name| Alias {
                name,
                network: None,
            }));
        }
        aliases.sort();
        aliases.dedup();
        let mut depends_on = get("depends_on")
            .map(|node| self.depends_on(node, &name))
            .unwrap_or_default();
        let links = get("links")
            .map(|node| self.links(node, &name, &mut depends_on))
            .unwrap_or_default();
        let stop_signal = get("stop_signal")
            .and_then(|node| self.signal(node))
            .unwrap_or_else(|| image::stop_signal(&run, image.as_deref()).to_owned());
        let restart = get("restart").and_then(|node| self.restart(node));

        Service {
            run,
            image,
            attachment,
            aliases,
            links,
            extra_hosts: get("extra_hosts")
                .map(|node| self.extra_hosts(node))
                .unwrap_or_default(),
            sysctls: get("sysctls")
                .map(|node| self.sysctls(node))
                .unwrap_or_default(),
            files,
            open_files: get("ulimits").and_then(|node| self.ulimits(node)),
            replicas,
            entrypoint,
            command,
            environment,
            ports: get("ports")
                .map(|node| self.ports(node, &within("ports")))
                .unwrap_or_default(),
            expose: get("expose")
                .map(|node| self.expose(node))
                .unwrap_or_default(),
            depends_on,
            healthcheck: get("healthcheck")
                .and_then(|node| self.healthcheck(node, &within("healthcheck"))),
            // As in Compose, what `deploy` says of it wins.
            restart: deploy.restart.or(restart).unwrap_or(Restart::No),
            stop_signal,
            stop_grace_period: get("stop_grace_period")
                .and_then(|node| self.duration(node, "stop_grace_period"))
                .unwrap_or(Duration::from_secs(10)),
            mounts,
            limits,
            user,
            working_dir: get("working_dir")
                .and_then(|node| self.text(node, "working_dir"))
                .map(PathBuf::from),
            hostname: get("hostname").and_then(|node| {
                let text = self.text(node, "hostname")?;
                self.host_name(node.at, text, "hostname")
            }),
            at: key.at,
            name,
        }
    }

    fn signal(&mut self, node: &Node) -> Option<String> {
        self.parsed(node, "stop_signal", "a signal such as SIGINT", |text| {
            let signal = match text.parse::<i32>() {
                Ok(number) => Signal::try_from(number).ok()?,
                Err(_) => {
                    Signal::from_str(&format!("SIG{}", text.trim_start_matches("SIG"))).ok()?
                }
            };
            Some(signal.as_str().to_owned())
        })
    }
}
