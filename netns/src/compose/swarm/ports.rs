//! `ports`: one of the host's for each of the service's, in the long form.

use std::collections::BTreeMap;

use super::super::node::{Node, Value};
use super::super::reader::Reader;
use super::document::{Item, entry};

/// A published port: the host's and the service's, as the file writes them.
struct Port<'n> {
    address: Option<&'n str>,
    published: &'n str,
    target: &'n str,
}

impl Reader<'_> {
    /// The ports that a Swarm publishes, and why others are not among them. In mode `host`: a task's port is its host's, with no
    /// balancer of Swarm's before it, and each host that runs one publishes it.
    pub(super) fn published(&mut self, name: &str, raw: &Node, read: &Node) -> (Item, Vec<String>) {
        let mut ports = Vec::new();
        let mut left_out = Vec::new();
        let mut targets: BTreeMap<String, String> = BTreeMap::new();
        let (Value::List(raw), Value::List(read)) = (&raw.value, &read.value) else {
            return (Item::Null, left_out);
        };
        for (raw, read) in raw.iter().zip(read) {
            let (Some(written), Some(meant)) = (port(raw), port(read)) else {
                continue; // refused by the reader
            };
            let shown = format!("{}:{}", meant.published, meant.target);
            let address = meant
                .address
                .and_then(|text| text.trim_matches(['[', ']']).parse().ok());
            let address = address.filter(|ip: &std::net::IpAddr| !ip.is_unspecified());
            if [meant.published, meant.target]
                .iter()
                .any(|port| port.contains('-'))
            {
                self.error(
                    read.at,
                    format!("`{name}` publishes a range of ports, {shown}, and a Swarm publishes one at a time"),
                    "write one entry for each",
                );
            } else if address.is_some_and(|ip| ip.is_loopback()) {
                left_out.push(format!(
                    "port {shown} of the host's loopback: a Swarm cannot publish it there alone"
                ));
            } else if let Some(ip) = address {
                self.error(
                    read.at,
                    format!("`{name}` publishes {shown} on {ip}, and a Swarm's hosts have an address each"),
                    "publish it without an address, or on 127.0.0.1, which a Swarm leaves out",
                );
            } else if let Some(first) = targets.get(meant.target) {
                left_out.push(format!(
                    "port {shown}: a Swarm publishes {} once, here as {first}",
                    meant.target
                ));
            } else {
                targets.insert(meant.target.to_owned(), meant.published.to_owned());
                ports.push(Item::Map(vec![
                    entry("target", number(written.target)),
                    entry("published", number(written.published)),
                    entry("protocol", Item::text("tcp")),
                    entry("mode", Item::text("host")),
                ]));
            }
        }
        (Item::List(ports), left_out)
    }
}

fn number(text: &str) -> Item {
    if text.parse::<u16>().is_ok() {
        Item::plain(text)
    } else {
        Item::text(text)
    }
}

/// `[[ADDRESS:]PUBLISHED:]TARGET[/tcp]` or the long form.
fn port(node: &Node) -> Option<Port<'_>> {
    let text = |key: &str| match &node.get(key)?.value {
        Value::Scalar(text) => Some(text.as_str()),
        _ => None,
    };
    match &node.value {
        Value::Map(_) => Some(Port {
            address: text("host_ip"),
            published: text("published")?,
            target: text("target")?,
        }),
        Value::Scalar(short) => {
            let short = short.strip_suffix("/tcp").unwrap_or(short);
            let (rest, target) = split(short)?;
            Some(match split(rest) {
                Some((address, published)) => Port {
                    address: Some(address),
                    published,
                    target,
                },
                None => Port {
                    address: None,
                    published: rest,
                    target,
                },
            })
        }
        _ => None,
    }
}

/// Around the last colon that is in no `${...}`.
pub(super) fn split(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    let colon = text.char_indices().rev().find(|(_, c)| {
        match c {
            '}' | ']' => depth += 1,
            '{' | '[' => depth = depth.saturating_sub(1),
            _ => {}
        }
        *c == ':' && depth == 0
    })?;
    Some((&text[..colon.0], &text[colon.0 + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_not_taken_apart() {
        assert_eq!(
            split("${HTTP_PORT:-8080}:3000"),
            Some(("${HTTP_PORT:-8080}", "3000"))
        );
        assert_eq!(split("[::1]:3001"), Some(("[::1]", "3001")));
        assert_eq!(split("${HTTP_PORT:-8080}"), None);
    }
}
