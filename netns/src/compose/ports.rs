//! `ports`: the short and the long syntax, ranges expanded.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::diagnostic::Span;
use super::docker_only::Scope;
use super::model::Port;
use super::node::{Node, Value};
use super::reader::Reader;

const FORM: &str = "\"HOST:CONTAINER\", for instance \"8080:3000\" or \"127.0.0.1:3001:3001\"";

/// Most ports that a project publishes.
const MOST_PORTS: usize = 1000;

impl Reader<'_> {
    /// The published ports of a service.
    pub(super) fn ports(&mut self, node: &Node, what: &str) -> Vec<Port> {
        let mut ports = Vec::new();
        for item in self.items(node, what) {
            match &item.value {
                Value::Map(_) => ports.extend(self.long_port(item, what)),
                _ => {
                    let Some(text) = self.text(item, what) else {
                        continue;
                    };
                    match short(text) {
                        Ok((host_ip, host, target)) => {
                            ports.extend(self.expand(item.at, text, host_ip, host, target));
                        }
                        Err((message, remedy)) => {
                            self.error(item.at, format!("{what} has `{text}`: {message}"), remedy);
                        }
                    }
                }
            }
        }
        ports
    }

    fn long_port(&mut self, node: &Node, what: &str) -> Vec<Port> {
        let fields = self.fields(
            node,
            what,
            Some(Scope::Port),
            &["target", "published", "host_ip", "protocol"],
        );
        if let Some((_, protocol)) = fields.get("protocol") {
            self.parsed(
                protocol,
                "protocol",
                "tcp: nothing else can be published",
                |text| (text == "tcp").then_some(()),
            );
        }
        let host_ip = fields.get("host_ip").and_then(|(_, ip)| {
            self.parsed(ip, "host_ip", "an IP address", |text| text.parse().ok())
        });
        let target = fields
            .get("target")
            .and_then(|(_, target)| self.number::<u16>(target, "target", 1, u16::MAX));
        let published = fields.get("published").and_then(|(_, ports)| {
            self.parsed(ports, "published", "a port or a range of ports", range)
        });
        match (target, published) {
            (Some(target), Some(published)) => {
                self.expand(node.at, "", host_ip, published, target..=target)
            }
            _ => {
                for key in ["target", "published"] {
                    if !fields.contains_key(key) {
                        self.error(
                            node.at,
                            format!("{what} has an entry without `{key}`"),
                            "state both `target` and `published`",
                        );
                    }
                }
                Vec::new()
            }
        }
    }

    fn expand(
        &mut self,
        at: Span,
        text: &str,
        host_ip: Option<IpAddr>,
        host: RangeInclusive<u16>,
        target: RangeInclusive<u16>,
    ) -> Vec<Port> {
        if host.len() != target.len() {
            self.error(
                at,
                format!(
                    "`{text}` maps {} host ports to {} ports of the service",
                    host.len(),
                    target.len()
                ),
                "make the ranges equally long",
            );
            return Vec::new();
        }
        self.published = self.published.saturating_add(host.len());
        if self.published > MOST_PORTS {
            self.error(
                at,
                format!("more than {MOST_PORTS} ports are published"),
                "publish those that are used: each is a socket of the host",
            );
            return Vec::new();
        }
        // A wildcard address is what no address means.
        let host_ip = host_ip.filter(|ip| *ip != IpAddr::from([0, 0, 0, 0]));
        host.zip(target)
            .map(|(host_port, target)| Port {
                host_ip,
                host_port,
                target,
                at,
            })
            .collect()
    }
}

impl Reader<'_> {
    /// `expose`: ports and ranges of them.
    pub(super) fn expose(&mut self, node: &Node) -> Vec<u16> {
        let mut ports = Vec::new();
        for item in self.items(node, "expose") {
            let form = "a port from 1 to 65535, or a range such as 3000-3005";
            let exposed = self.parsed(item, "expose", form, |text| {
                range(text.trim_end_matches("/tcp").trim_end_matches("/udp"))
            });
            // It is only documentation: of a long range the ends tell as much.
            ports.extend(exposed.into_iter().flat_map(|range| {
                let most = u16::try_from(MOST_PORTS).unwrap_or(u16::MAX);
                let step = if range.len() > usize::from(most) {
                    range.end() - range.start()
                } else {
                    1
                };
                range.step_by(usize::from(step.max(1)))
            }));
        }
        ports
    }
}

type Mapping = (Option<IpAddr>, RangeInclusive<u16>, RangeInclusive<u16>);

/// `[[IP:]HOST:]CONTAINER[/tcp]`; the error is a message and a remedy.
fn short(text: &str) -> Result<Mapping, (&'static str, String)> {
    let malformed = || ("this is no port mapping", format!("write {FORM}"));
    let mapping = match text.split_once('/') {
        None => text,
        Some((mapping, "tcp")) => mapping,
        Some(_) => {
            return Err((
                "only tcp can be published",
                "remove it, and let whoever needs it run inside the lab".to_owned(),
            ));
        }
    };
    let (rest, target) = mapping
        .rsplit_once(':')
        .ok_or_else(|| match range(mapping) {
            None => malformed(),
            Some(_) => (
                "it leaves the host's port to chance",
                format!("write {FORM}"),
            ),
        })?;
    let (host_ip, host) = match rest.rsplit_once(':') {
        None => (None, rest),
        Some((ip, host)) => {
            let ip = ip
                .strip_prefix('[')
                .and_then(|ip| ip.strip_suffix(']'))
                .unwrap_or(ip);
            (Some(ip.parse().map_err(|_| malformed())?), host)
        }
    };
    Ok((
        host_ip,
        range(host).ok_or_else(malformed)?,
        range(target).ok_or_else(malformed)?,
    ))
}

/// `80` or `80-89`.
fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let (low, high) = (low.parse().ok()?, high.parse().ok()?);
    (low >= 1 && low <= high).then_some(low..=high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_syntax() {
        assert_eq!(short("8080:3000"), Ok((None, 8080..=8080, 3000..=3000)));
        assert_eq!(
            short("127.0.0.1:1-3:4-6/tcp"),
            Ok((Some([127, 0, 0, 1].into()), 1..=3, 4..=6))
        );
        assert_eq!(
            short("[::1]:80:80").unwrap().0,
            Some("::1".parse().unwrap())
        );
        for bad in [
            "80", "0:1", "1:0", "a:1", "1:2/udp", "1:70000", "x:1:2", "5-1:1", "",
        ] {
            assert!(short(bad).is_err(), "{bad}");
        }
    }
}
