//! What stands at the end of the file: networks, volumes, configs and secrets.

use super::super::node::{Node, Value};
use super::document::{Entry, Item, entry, push};
use super::extension::Extension;
use super::pairs;
use super::storage::Stores;

/// What is left out of networks, and why: it is listed at the file's top.
const LEFT_OUT: &[(&str, &str)] = &[
    (
        "driver_opts",
        "com.docker.network.bridge.*: an overlay is no bridge",
    ),
    ("enable_ipv6", "a Swarm's overlays carry IPv4 only"),
    ("aux_addresses", "a Swarm takes the subnet alone"),
    ("gateway", "a Swarm takes the subnet alone"),
    ("ip_range", "a Swarm takes the subnet alone"),
];

/// The first words of options that concern bridges.
const BRIDGE: &str = "com.docker.network.bridge.";

/// The lines for what `networks` leaves out.
pub(super) fn left_out(node: Option<&Node>) -> Vec<String> {
    let networks = pairs(node, node);
    let has = |key: &str| {
        networks.iter().any(|(_, network, _)| {
            let config = network.get("ipam").and_then(|ipam| ipam.get("config"));
            let in_config = config.is_some_and(|config| match &config.value {
                Value::List(items) => items.iter().any(|item| item.get(key).is_some()),
                _ => false,
            });
            in_config
                || network.get(key).is_some_and(|node| match &node.value {
                    Value::Map(options) => {
                        options.iter().any(|(key, _)| key.name.starts_with(BRIDGE))
                    }
                    Value::Scalar(text) => text != "false",
                    _ => false,
                })
        })
    };
    let present = LEFT_OUT.iter().filter(|(key, _)| has(key));
    present
        .map(|(key, why)| format!("networks' {key}: {why}"))
        .collect()
}

/// Overlays, with nothing of their address plan but the subnet.
pub(super) fn networks(node: Option<&Node>) -> Item {
    let entries = pairs(node, node).into_iter().map(|(name, network, _)| {
        let mut fields = vec![entry("driver", Item::text("overlay"))];
        for key in ["name", "internal", "attachable", "labels", "driver_opts"] {
            let mut carried = network
                .get(key)
                .map_or(Item::Null, |node| Item::carried(key, node));
            if let Item::Map(options) = &mut carried {
                options.retain(|option| !option.key.starts_with(BRIDGE));
            }
            push(&mut fields, key, carried);
        }
        let config = network.get("ipam").and_then(|ipam| ipam.get("config"));
        if let Some(Value::List(items)) = config.map(|node| &node.value)
            && let Some(subnet) = items.first().and_then(|item| item.get("subnet"))
        {
            let subnet = Item::Map(vec![entry("subnet", Item::carried("subnet", subnet))]);
            let config = entry("config", Item::List(vec![subnet]));
            fields.push(entry("ipam", Item::Map(vec![config])));
        }
        entry(name, Item::Map(fields))
    });
    Item::Map(entries.collect())
}

/// The named volumes that are in use.
pub(super) fn volumes(node: Option<&Node>, stores: &Stores) -> Item {
    let declared = pairs(node, node).into_iter();
    let used = declared.filter(|(name, ..)| stores.volumes.contains(*name));
    Item::Map(
        used.map(|(name, node, _)| entry(name, Item::carried(name, node)))
            .collect(),
    )
}

/// The name of a config or secret in the Swarm, which is one for all its stacks.
fn name(extension: &Extension, name: &str, hash: &str) -> Entry {
    let stack = match &extension.name {
        Some(stack) => format!("${{STACK:-{stack}}}"),
        None => "${STACK:?the name of the stack}".to_owned(),
    };
    entry("name", Item::text(format!("{stack}_{name}_{hash}")))
}

/// The files that services mount.
pub(super) fn configs(stores: &Stores, extension: &Extension) -> Vec<Entry> {
    let entries = stores.configs.iter().map(|(key, (path, hash))| {
        let file = entry("file", Item::text(path));
        entry(key, Item::Map(vec![name(extension, key, hash), file]))
    });
    entries.collect()
}

/// The files of the volumes that hold secrets.
pub(super) fn secrets(stores: &Stores, extension: &Extension) -> Vec<Entry> {
    let remedy = match &extension.command {
        Some(command) => format!("run {command}"),
        None => "see the top of this file".to_owned(),
    };
    let entries = stores.secrets.iter().map(|key| {
        let hash = format!("${{{}:?{remedy}}}", hash_variable(key));
        let file = format!("${{SECRETS_DIR:?{remedy}}}/{key}");
        let fields = vec![name(extension, key, &hash), entry("file", Item::text(file))];
        entry(key, Item::Map(fields))
    });
    entries.collect()
}

/// The variable with a secret's hash: `users.acl` has `USERS_ACL_HASH`.
fn hash_variable(secret: &str) -> String {
    let upper: String = secret
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_uppercase()
            } else {
                '_'
            }
        })
        .collect();
    format!("{upper}_HASH")
}
