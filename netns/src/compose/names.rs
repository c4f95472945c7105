//! What else a service is called, and what else it calls others: `networks.<n>.aliases`, `container_name`, `links`, `extra_hosts`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use super::diagnostic::Span;
use super::model::{Alias, Condition, Dependency};
use super::node::{Node, Value};
use super::reader::Reader;

impl Reader<'_> {
    /// A name that stands in an `/etc/hosts`: one word of a host name's letters.
    pub(super) fn host_name(&mut self, at: Span, text: &str, what: &str) -> Option<String> {
        let fits = !text.is_empty()
            && text.len() <= 253
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
        if fits {
            return Some(text.to_owned());
        }
        self.error(
            at,
            format!("{what} is `{text}`"),
            "write a name of letters, digits, `-`, `_` and `.`",
        );
        None
    }

    /// `aliases` of a service in the network `network`.
    pub(super) fn aliases(&mut self, node: &Node, network: &str) -> Vec<Alias> {
        let mut aliases = Vec::new();
        for item in self.items(node, "aliases") {
            let text = self.text(item, "aliases");
            let name = text.and_then(|text| self.host_name(item.at, text, "an alias"));
            aliases.extend(name.map(|name| Alias {
                name,
                network: Some(network.to_owned()),
            }));
        }
        aliases
    }

    /// `links`: other names of services, for this one alone. Whoever is linked to starts first.
    pub(super) fn links(
        &mut self,
        node: &Node,
        service: &str,
        depends_on: &mut BTreeMap<String, Dependency>,
    ) -> BTreeMap<String, String> {
        let mut links = BTreeMap::new();
        for item in self.items(node, "links") {
            let Some(text) = self.text(item, "links") else {
                continue;
            };
            let (to, alias) = text.split_once(':').unwrap_or((text, text));
            if !self.is_service(item.at, to, &format!("`{service}` links to")) {
                continue;
            }
            if let Some(alias) = self.host_name(item.at, alias, "a link's name") {
                links.insert(alias, to.to_owned());
                self.places
                    .entry(format!("depends:{service}:{to}"))
                    .or_insert(item.at);
                depends_on.entry(to.to_owned()).or_insert(Dependency {
                    condition: Condition::ServiceStarted,
                    required: true,
                    restart: true,
                });
            }
        }
        links
    }

    /// `extra_hosts`, as a list of `name=address` or a mapping.
    pub(super) fn extra_hosts(&mut self, node: &Node) -> BTreeMap<String, Ipv4Addr> {
        let mut hosts = BTreeMap::new();
        let mut add = |reader: &mut Self, at: Span, name: &str, address: &str| {
            let Some(name) = reader.host_name(at, name, "a name in extra_hosts") else {
                return;
            };
            let bare = address.trim_matches(['[', ']']);
            match bare.parse::<IpAddr>() {
                Ok(IpAddr::V4(address)) => drop(hosts.insert(name, address)),
                Ok(IpAddr::V6(_)) => reader.warn(
                    at,
                    format!("extra_hosts gives `{name}` an IPv6 address"),
                    "it is left out: a lab is IPv4",
                ),
                Err(_) if address == "host-gateway" => reader.warn(
                    at,
                    format!("extra_hosts gives `{name}` the host's address"),
                    "it is left out: nothing in a lab reaches the host",
                ),
                Err(_) => reader.error(
                    at,
                    format!("extra_hosts gives `{name}` the address `{address}`"),
                    "write name=address, for instance db=10.0.0.5",
                ),
            }
        };
        match &node.value {
            Value::List(items) => {
                for item in items {
                    let Some(text) = self.text(item, "extra_hosts") else {
                        continue;
                    };
                    let (name, address) = text
                        .split_once('=')
                        .or_else(|| text.split_once(':'))
                        .unwrap_or((text, ""));
                    add(self, item.at, name.trim(), address.trim());
                }
            }
            _ => {
                for (key, value) in self.entries(node, "extra_hosts") {
                    if let Some(text) = self.text(value, "extra_hosts") {
                        add(self, key.at, &key.name, text);
                    }
                }
            }
        }
        hosts
    }
}
