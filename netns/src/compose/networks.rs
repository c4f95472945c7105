//! The top-level `networks` and `volumes`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::diagnostic::Span;
use super::docker_only::Scope;
use super::model::Network;
use super::node::{Node, Value};
use super::reader::Reader;

/// Networks without a subnet get a /24 each from here: private (RFC 1918), and seldom met on a host. Only the lab sees them.
const POOL: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 89, 0, 0), 16);

/// The network of services that name none.
pub(super) const DEFAULT: &str = "default";

impl Reader<'_> {
    /// The declared networks, plus `default` when `wants_default`. Addresses left out are filled in, in the order of the names.
    pub(super) fn networks(
        &mut self,
        node: Option<&Node>,
        wants_default: bool,
    ) -> BTreeMap<String, Network> {
        let mut networks = BTreeMap::new();
        let mut without_subnet = BTreeMap::new();
        for (key, value) in node.map_or(&[][..], |node| self.entries(node, "networks")) {
            self.name(key.at, &key.name, "network");
            self.places.insert(format!("subnet:{}", key.name), key.at);
            let what = format!("network `{}`", key.name);
            let fields = self.fields(
                value,
                &what,
                Some(Scope::Network),
                &["ipam", "enable_ipv6", "enable_ipv4", "external"],
            );
            for (name, wanted) in [
                ("external", false),
                ("enable_ipv6", false),
                ("enable_ipv4", true),
            ] {
                if let Some((key, value)) = fields.get(name)
                    && self
                        .boolean(value, name)
                        .is_some_and(|value| value != wanted)
                {
                    self.error(
                        key.at,
                        format!("{what} has `{name}: {}`, which is not supported", !wanted),
                        "remove it: a lab's networks are IPv4 and its own",
                    );
                }
            }
            let config = fields
                .get("ipam")
                .and_then(|(_, ipam)| self.ipam(ipam, &what));
            match config.map(|config| self.subnet(config, &key.name, key.at)) {
                Some(Some(network)) => drop(networks.insert(key.name.clone(), network)),
                // Already reported; any valid subnet keeps the rest of the checks going.
                Some(None) | None => drop(without_subnet.insert(key.name.clone(), key.at)),
            }
        }
        if wants_default && !networks.contains_key(DEFAULT) && !without_subnet.contains_key(DEFAULT)
        {
            without_subnet.insert(DEFAULT.to_owned(), Span::default());
        }
        for (name, at) in without_subnet {
            let free = POOL.subnets(24).ok().and_then(|mut subnets| {
                subnets.find(|subnet| {
                    networks
                        .values()
                        .all(|network: &Network| !overlap(network.subnet, *subnet))
                })
            });
            match free {
                Some(subnet) => drop(networks.insert(
                    name,
                    Network {
                        subnet,
                        gateway: first(subnet),
                        ip_range: subnet,
                        at,
                    },
                )),
                None => self.error(
                    at,
                    format!("no subnet is left for network `{name}`"),
                    "give it one under `ipam`",
                ),
            }
        }
        networks
    }

    /// The one entry of `ipam.config`.
    fn ipam<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n Node> {
        let fields = self.fields(
            node,
            &format!("ipam of {what}"),
            Some(Scope::Ipam),
            &["config"],
        );
        let (_, config) = fields.get("config")?;
        let items = self.items(config, "ipam.config");
        if let Some(second) = items.get(1) {
            self.error(
                second.at,
                format!("{what} has a second subnet"),
                "keep one: a tier is one IPv4 subnet",
            );
        }
        items.first()
    }

    fn subnet(&mut self, node: &Node, name: &str, declared: Span) -> Option<Network> {
        let what = format!("network `{name}`");
        let fields = self.fields(
            node,
            &format!("ipam.config of {what}"),
            None,
            &["subnet", "gateway", "ip_range"],
        );
        let Some((_, node)) = fields.get("subnet") else {
            if !fields.is_empty() {
                self.error(
                    node.at,
                    format!("ipam.config of {what} has no `subnet`"),
                    "state it, for instance 172.20.0.0/24",
                );
            }
            return None;
        };
        let subnet = self.parsed(
            node,
            "subnet",
            "an IPv4 network such as 172.20.0.0/24, its host bits zero",
            net,
        )?;
        if subnet.prefix_len() > 29 || subnet.prefix_len() < 8 {
            self.error(
                node.at,
                format!("subnet is `{subnet}`"),
                "write a prefix length from 8 to 29",
            );
            return None;
        }
        self.places.insert(format!("subnet:{name}"), node.at);
        let gateway = match fields.get("gateway") {
            None => first(subnet),
            Some((_, node)) => {
                let gateway =
                    self.parsed(node, "gateway", "an IPv4 address", |text| text.parse().ok());
                if let Some(gateway) = gateway.filter(|gateway| !is_host(subnet, *gateway)) {
                    self.error(
                        node.at,
                        format!("gateway {gateway} is no host address of {subnet}"),
                        format!("write {}, or another address of the subnet", first(subnet)),
                    );
                }
                gateway.unwrap_or(first(subnet))
            }
        };
        let ip_range = match fields.get("ip_range") {
            None => subnet,
            Some((_, node)) => {
                let range = self.parsed(
                    node,
                    "ip_range",
                    "an IPv4 network such as 172.20.0.128/25, its host bits zero",
                    net,
                );
                if let Some(range) = range.filter(|range| !subnet.contains(range)) {
                    self.error(
                        node.at,
                        format!("ip_range {range} is not inside {subnet}"),
                        "write a part of the subnet",
                    );
                }
                // What is wrong is reported; with the subnet itself the rest of the checks goes on.
                range
                    .filter(|range| subnet.contains(range))
                    .unwrap_or(subnet)
            }
        };
        Some(Network {
            subnet,
            gateway,
            ip_range,
            at: declared,
        })
    }

    /// The names of the declared volumes.
    pub(super) fn declared_volumes(&mut self, node: Option<&Node>) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for (key, value) in node.map_or(&[][..], |node| self.entries(node, "volumes")) {
            self.name(key.at, &key.name, "volume");
            if value.get("driver").or(value.get("driver_opts")).is_some() {
                self.places.insert(format!("driver:{}", key.name), key.at);
            }
            if value.value != Value::Null {
                let fields = self.fields(
                    value,
                    &format!("volume `{}`", key.name),
                    Some(Scope::Volume),
                    &["external"],
                );
                if let Some(options) = value.get("driver_opts").filter(|_| !self.for_swarm) {
                    self.device(options);
                }
                if let Some((key, value)) = fields.get("external")
                    && self.boolean(value, "external") == Some(true)
                {
                    self.error(
                        key.at,
                        "an external volume is not supported",
                        "remove `external`: volumes are folders of the lab's state",
                    );
                }
            }
            names.insert(key.name.clone());
        }
        names
    }

    /// What Docker's own driver would mount in a volume's place: here it would be an empty folder, without a word.
    fn device(&mut self, options: &Node) {
        let Some(node) = options.get("device") else {
            return;
        };
        let Some(device) = self.text(node, "device") else {
            return;
        };
        let is_memory = |node: &Node| matches!(&node.value, Value::Scalar(kind) if kind == "tmpfs");
        let remedy = if options.get("type").is_some_and(is_memory) {
            "remove the volume, and write in the services: tmpfs: [/TARGET]".to_owned()
        } else if device.starts_with(['/', '.', '~']) {
            format!("remove the volume, and write in the services: volumes: [\"{device}:/TARGET\"]")
        } else {
            "remove the volume, mount it on this machine, and write in the services: volumes: [\"/FOLDER:/TARGET\"]".to_owned()
        };
        self.error(
            node.at,
            format!("a volume with the device `{device}` is not supported: volumes are folders of the lab's state"),
            remedy,
        );
    }

    /// Names become folders, namespaces and host names, so they are held to the specification's letters.
    pub(super) fn name(&mut self, at: Span, name: &str, what: &str) {
        let fits = name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.len() <= 63
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
        if !fits {
            self.error(
                at,
                format!("`{name}` is no name for a {what}"),
                "use at most 63 letters, digits, `_`, `-` or `.`, starting with a letter or digit",
            );
        }
    }
}

/// Whether the two share an address.
pub(super) fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b) || b.contains(&a)
}

/// Whether `address` is in `subnet` and neither its network nor its broadcast address.
pub(super) fn is_host(subnet: Ipv4Net, address: Ipv4Addr) -> bool {
    subnet.contains(&address) && address != subnet.network() && address != subnet.broadcast()
}

fn first(subnet: Ipv4Net) -> Ipv4Addr {
    subnet.hosts().next().unwrap_or_else(|| subnet.network())
}

fn net(text: &str) -> Option<Ipv4Net> {
    text.parse::<Ipv4Net>()
        .ok()
        .filter(|net| net.addr() == net.network())
}
