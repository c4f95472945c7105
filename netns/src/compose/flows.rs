//! `x-flows`: the security policy, one arrow a line.

use std::collections::BTreeMap;

use super::model::{Flow, Peer, Policy, Protocol};
use super::node::Node;
use super::reader::Reader;

const FORM: &str = "`service -> service:port`, several targets separated by commas, `world` for the outside, `/udp` behind a port that is not tcp";

impl Reader<'_> {
    /// The policy. A flow to or from a service that is off is off with it.
    pub(super) fn flows(&mut self, node: Option<&Node>) -> Policy {
        let Some(node) = node else {
            return Policy::SharedNetworks;
        };
        let mut seen: BTreeMap<(Peer, String, u16, Protocol), u32> = BTreeMap::new();
        let mut flows = Vec::new();
        for item in self.items(node, "x-flows") {
            let Some(text) = self.text(item, "x-flows") else {
                continue;
            };
            let Some((from, targets)) = text.split_once("->") else {
                self.error(
                    item.at,
                    format!("`{text}` is no flow"),
                    format!("write {FORM}"),
                );
                continue;
            };
            let from = from.trim();
            let peer = if from == "world" {
                Some(Peer::World)
            } else {
                self.endpoint(item, from).map(Peer::Service)
            };
            for target in targets.split(',') {
                let Some((to, port, protocol)) = self.target(item, target.trim()) else {
                    continue;
                };
                let Some(from) = peer.clone() else { continue };
                if let Some(line) =
                    seen.insert((from.clone(), to.clone(), port, protocol), item.at.line)
                {
                    self.error(
                        item.at,
                        format!("the flow to {to}:{port} is declared twice, first on line {line}"),
                        "remove one",
                    );
                    continue;
                }
                flows.push(Flow {
                    from,
                    to,
                    port,
                    protocol,
                    at: item.at,
                });
            }
        }
        Policy::Flows(flows)
    }

    fn target(&mut self, item: &Node, target: &str) -> Option<(String, u16, Protocol)> {
        let (endpoint, protocol) = match target.rsplit_once('/') {
            None | Some((_, "tcp")) => (target.trim_end_matches("/tcp"), Protocol::Tcp),
            Some((endpoint, "udp")) => (endpoint, Protocol::Udp),
            Some((_, other)) => {
                self.error(
                    item.at,
                    format!("a flow names the protocol `{other}`"),
                    "write tcp or udp",
                );
                return None;
            }
        };
        let Some((name, port)) = endpoint.rsplit_once(':') else {
            self.error(
                item.at,
                format!("the flow to `{target}` names no port"),
                format!("write {FORM}"),
            );
            return None;
        };
        let port = match port.parse::<u16>() {
            Ok(port) if port > 0 => Some(port),
            _ => {
                self.error(
                    item.at,
                    format!("the flow to {name} has the port `{port}`"),
                    "write a port from 1 to 65535",
                );
                None
            }
        };
        let name = self.endpoint(item, name.trim());
        Some((name?, port?, protocol))
    }

    fn endpoint(&mut self, item: &Node, name: &str) -> Option<String> {
        if name == "world" {
            self.error(
                item.at,
                "a flow leads to the world",
                "remove it: nothing leaves the lab",
            );
            return None;
        }
        let is_on = !self.off.contains_key(name) && self.is_service(item.at, name, "a flow names");
        is_on.then(|| name.to_owned())
    }
}
