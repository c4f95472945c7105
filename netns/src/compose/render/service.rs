//! A service of the file again.

use serde_json::{Map, Value, json};

use super::{duration, pairs, path, text, words};
use crate::compose::model::{
    Attachment, FileKind, Healthcheck, Mount, MountSource, Restart, Run, Server, Service,
};
use crate::compose::run::derived;

pub(super) fn service(service: &Service) -> Value {
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| {
        let is_empty = value.as_object().is_some_and(Map::is_empty)
            || value.as_array().is_some_and(Vec::is_empty);
        if !value.is_null() && !is_empty {
            out.insert(key.to_owned(), value);
        }
    };
    put("image", service.image.as_deref().map_or(Value::Null, text));
    put("x-netns", extension(service));
    put("environment", pairs(&service.environment));
    let ports = service.ports.iter().map(|port| {
        let mut entry = json!({ "target": port.target, "published": port.host_port.to_string(), "protocol": "tcp" });
        if let Some(ip) = port.host_ip {
            entry["host_ip"] = ip.to_string().into();
        }
        entry
    });
    put("ports", ports.collect());
    put(
        "expose",
        service.expose.iter().map(|port| port.to_string()).collect(),
    );
    let depends_on = service.depends_on.iter().map(|(name, on)| {
        (
            name.clone(),
            json!({ "condition": on.condition, "required": on.required, "restart": on.restart }),
        )
    });
    put("depends_on", depends_on.collect());
    put(
        "healthcheck",
        service
            .healthcheck
            .as_ref()
            .map_or(Value::Null, healthcheck),
    );
    put("restart", restart(service.restart));
    put("stop_signal", text(&service.stop_signal));
    put("stop_grace_period", duration(service.stop_grace_period));
    put("volumes", service.mounts.iter().map(mount).collect());
    for kind in [FileKind::Secret, FileKind::Config] {
        let files = service.files.iter().filter(|file| file.kind == kind);
        let files =
            files.map(|file| json!({ "source": text(&file.name), "target": path(&file.target) }));
        put(kind.key(), files.collect());
    }
    put("deploy", deploy(service));
    let nofile = service
        .open_files
        .map(|files| i64::try_from(files).unwrap_or(-1));
    put(
        "ulimits",
        nofile.map_or(Value::Null, |nofile| json!({ "nofile": nofile })),
    );
    put("sysctls", pairs(&service.sysctls));
    put("user", service.user.as_deref().map_or(Value::Null, text));
    put(
        "working_dir",
        service.working_dir.as_deref().map_or(Value::Null, path),
    );
    put(
        "hostname",
        service.hostname.as_deref().map_or(Value::Null, text),
    );
    let container = service.aliases.iter().find(|alias| alias.network.is_none());
    put(
        "container_name",
        container.map_or(Value::Null, |alias| text(&alias.name)),
    );
    let links = service
        .links
        .iter()
        .map(|(alias, to)| text(&format!("{to}:{alias}")));
    put("links", links.collect());
    let hosts = service.extra_hosts.iter();
    put(
        "extra_hosts",
        hosts
            .map(|(name, address)| (name.clone(), Value::from(address.to_string())))
            .collect(),
    );
    // An empty entrypoint says that there is none, and nothing is not the same as not to say.
    for (key, stated) in [
        ("entrypoint", &service.entrypoint),
        ("command", &service.command),
    ] {
        if let Some(stated) = stated {
            out.insert(key.to_owned(), words(stated));
        }
    }
    match &service.attachment {
        Attachment::None => {
            out.insert("network_mode".into(), "none".into());
        }
        Attachment::Tier {
            tier,
            address,
            networks,
        } => {
            let entry = |name: &String| {
                let mut entry = Map::new();
                if let Some(address) = address.filter(|_| name == tier) {
                    entry.insert("ipv4_address".into(), address.to_string().into());
                }
                let here = service
                    .aliases
                    .iter()
                    .filter(|alias| alias.network.as_ref() == Some(name));
                let aliases: Vec<Value> = here.map(|alias| text(&alias.name)).collect();
                if !aliases.is_empty() {
                    entry.insert("aliases".into(), aliases.into());
                }
                (name.clone(), Value::Object(entry))
            };
            out.insert("networks".into(), networks.iter().map(entry).collect());
        }
    }
    Value::Object(out)
}

/// `x-netns`, where the rest does not say it already, and for a server in any case, to show what an image was taken for.
fn extension(service: &Service) -> Value {
    let mut out = Map::new();
    if let Attachment::Tier { tier, networks, .. } = &service.attachment
        && networks.len() > 1
    {
        out.insert("tier".into(), text(tier));
    }
    let (image, entrypoint, command) = (&service.image, &service.entrypoint, &service.command);
    let said = derived(image.as_deref(), entrypoint.as_deref(), command.as_deref());
    let run = match &service.run {
        Run::Cargo { package } => json!({ "cargo": package }),
        Run::Server(Server::Postgres) => json!({ "server": "postgres" }),
        Run::Server(Server::Redis) => json!({ "server": "redis" }),
        run @ Run::Exec { argv } if said.as_ref() != Some(run) => json!({ "exec": words(argv) }),
        Run::Exec { .. } => return Value::Object(out),
    };
    out.insert("run".into(), run);
    Value::Object(out)
}

fn healthcheck(check: &Healthcheck) -> Value {
    let mut out = json!({
        "test": ["CMD"],
        "interval": duration(check.interval),
        "timeout": duration(check.timeout),
        "retries": check.retries,
        "start_period": duration(check.start_period),
    });
    if let Some(test) = out["test"].as_array_mut() {
        test.extend(check.test.iter().map(|word| text(word)));
    }
    if let Some(interval) = check.start_interval {
        out["start_interval"] = duration(interval);
    }
    out
}

fn restart(restart: Restart) -> Value {
    match restart {
        Restart::No => "no".into(),
        Restart::Always => "always".into(),
        Restart::UnlessStopped => "unless-stopped".into(),
        Restart::OnFailure { max_retries: None } => "on-failure".into(),
        Restart::OnFailure {
            max_retries: Some(most),
        } => format!("on-failure:{most}").into(),
    }
}

fn mount(mount: &Mount) -> Value {
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| drop(out.insert(key.to_owned(), value));
    put("target", path(&mount.target));
    if mount.read_only {
        put("read_only", true.into());
    }
    match &mount.source {
        MountSource::Volume(name) => {
            put("type", "volume".into());
            put("source", text(name));
        }
        MountSource::Anonymous => put("type", "volume".into()),
        MountSource::Bind(source) => {
            put("type", "bind".into());
            put("source", path(source));
        }
        MountSource::Tmpfs { size, mode } => {
            put("type", "tmpfs".into());
            let mut options = Map::new();
            if let Some(size) = size {
                options.insert("size".into(), size.to_string().into());
            }
            if let Some(mode) = mode {
                options.insert("mode".into(), format!("{mode:04o}").into());
            }
            put("tmpfs", options.into());
        }
    }
    Value::Object(out)
}

fn deploy(service: &Service) -> Value {
    let mut out = Map::new();
    if service.replicas != 1 {
        out.insert("replicas".into(), service.replicas.into());
    }
    let limits = service.limits;
    let mut bounds = Map::new();
    if let Some(cpus) = limits.cpus {
        bounds.insert("cpus".into(), cpus.to_string().into());
    }
    if let Some(memory) = limits.memory {
        bounds.insert("memory".into(), memory.to_string().into());
    }
    if let Some(pids) = limits.pids {
        bounds.insert("pids".into(), pids.into());
    }
    if !bounds.is_empty() {
        out.insert("resources".into(), json!({ "limits": bounds }));
    }
    Value::Object(out)
}
