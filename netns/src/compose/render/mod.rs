//! The project as a Compose file again: what `config` prints. Everything is spelled out (addresses, ports, conditions, what a service
//! runs), variables are replaced, and what is read from it is the same project.

mod service;

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::model::{
    Attachment, FileSource, Flow, GivenFile, Network, Policy, Project, Protocol, Service,
};
use super::yaml;

/// The Compose file that says the same, as a tree.
#[must_use]
pub fn canonical(project: &Project) -> Value {
    let mut file = Map::new();
    file.insert("name".into(), text(&project.name));
    if let Policy::Flows(flows) = &project.policy {
        let flows = flows.iter().map(|flow| text(&arrow(flow))).collect();
        file.insert("x-flows".into(), flows);
    }
    let entry = |(name, service): (&String, &Service)| (name.clone(), service::service(service));
    file.insert(
        "services".into(),
        project.services.iter().map(entry).collect(),
    );
    let entry = |(name, network): (&String, &Network)| (name.clone(), self::network(network));
    file.insert(
        "networks".into(),
        project.networks.iter().map(entry).collect(),
    );
    let volumes = project.volumes.iter().map(|name| {
        let own = format!("{}_{name}", project.name);
        (name.clone(), json!({ "name": text(&own) }))
    });
    file.insert("volumes".into(), volumes.collect());
    let entry = |(name, given): (&String, &GivenFile)| (name.clone(), self::given(given));
    file.insert(
        "secrets".into(),
        project.secrets.iter().map(entry).collect(),
    );
    file.insert(
        "configs".into(),
        project.configs.iter().map(entry).collect(),
    );
    file.retain(|key, value| {
        key == "x-flows" || value.as_object().is_none_or(|map| !map.is_empty())
    });
    Value::Object(file)
}

/// The same as text, with a word about the policy when it follows from the networks.
#[must_use]
pub fn canonical_yaml(project: &Project) -> String {
    let mut yaml = String::new();
    if project.policy == Policy::SharedNetworks {
        yaml.push_str(&rule(project));
    }
    yaml.push_str(&yaml::document(&canonical(project)));
    yaml
}

/// Who reaches whom in a file without `x-flows`.
fn rule(project: &Project) -> String {
    let mut comment = String::from(
        "# The file has no x-flows, so Compose's own rule holds. Derived from it, all else is refused:\n",
    );
    for service in project.services.values() {
        for port in &service.ports {
            let _ = writeln!(comment, "#   world -> {}:{}", service.name, port.target);
        }
    }
    for name in project.networks.keys() {
        let is_member = |service: &&Service| matches!(&service.attachment, Attachment::Tier { networks, .. } if networks.contains(name));
        let members: Vec<&str> = project
            .services
            .values()
            .filter(is_member)
            .map(|service| service.name.as_str())
            .collect();
        if members.len() > 1 {
            let _ = writeln!(
                comment,
                "#   {} reach each other on every port (network {name})",
                members.join(", ")
            );
        }
    }
    comment
}

fn arrow(flow: &Flow) -> String {
    let protocol = match flow.protocol {
        Protocol::Tcp => "",
        Protocol::Udp => "/udp",
    };
    format!("{} -> {}:{}{protocol}", flow.from, flow.to, flow.port)
}

/// A text that no variable is replaced in when it is read.
fn text(text: &str) -> Value {
    Value::String(text.replace('$', "$$"))
}

fn words(words: &[String]) -> Value {
    words.iter().map(|word| text(word)).collect()
}

fn path(path: &std::path::Path) -> Value {
    text(&path.to_string_lossy())
}

fn pairs(pairs: &std::collections::BTreeMap<String, String>) -> Value {
    pairs
        .iter()
        .map(|(key, value)| (key.clone(), text(value)))
        .collect()
}

/// Seconds, and what is left of one in microseconds.
fn duration(duration: Duration) -> Value {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    match nanos {
        0 => format!("{seconds}s").into(),
        _ if nanos % 1000 == 0 => format!("{seconds}s{}us", nanos / 1000).into(),
        _ => format!("{seconds}s{}.{:03}us", nanos / 1000, nanos % 1000).into(),
    }
}

fn network(network: &Network) -> Value {
    let Network {
        subnet,
        gateway,
        ip_range,
        ..
    } = network;
    json!({ "ipam": { "config": [{
        "subnet": subnet.to_string(),
        "gateway": gateway.to_string(),
        "ip_range": ip_range.to_string(),
    }] } })
}

fn given(file: &GivenFile) -> Value {
    match &file.source {
        FileSource::File(file) => json!({ "file": path(file) }),
        FileSource::Environment(variable) => json!({ "environment": text(variable) }),
        FileSource::Content(content) => json!({ "content": text(content) }),
    }
}
