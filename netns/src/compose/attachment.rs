//! `networks` and `network_mode` of a service: which tier its one interface is in.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::diagnostic::Span;
use super::docker_only::Scope;
use super::model::{Alias, Attachment};
use super::networks::DEFAULT;
use super::node::{Node, Value};
use super::reader::Reader;
use super::services::Declared;

/// A network that a service lists, and its fixed address there.
type Member = (Span, String, Option<(Span, Ipv4Addr)>);

impl Reader<'_> {
    /// The interface of a service and its names in each network: in its tier, `default` when it names no network, none under `network_mode: none`.
    pub(super) fn attachment(
        &mut self,
        service: &str,
        mode: Option<&Node>,
        networks: Option<&Node>,
        tier: Option<(Span, String)>,
        declared: &Declared<'_>,
    ) -> (Attachment, Vec<Alias>) {
        if let Some(mode) = mode {
            let understood = self.parsed(mode, "network_mode", "none, or leave it out", |text| {
                (text == "none").then_some(())
            });
            if let Some((at, _)) = tier.as_ref().filter(|_| understood.is_some()) {
                self.error(
                    *at,
                    format!("service `{service}` has a tier, but `network_mode: none`"),
                    "remove one of the two",
                );
            }
            if understood.is_some() {
                return (Attachment::None, Vec::new());
            }
            // It has been refused; what else would be wrong without a network is not.
        }
        let mut aliases = Vec::new();
        let mut members: Vec<Member> = Vec::new();
        match networks.map(|node| (node, &node.value)) {
            Some((_, Value::List(items))) => {
                for item in items {
                    members.extend(
                        self.text(item, "networks")
                            .map(|name| (item.at, name.to_owned(), None)),
                    );
                }
            }
            Some((node, _)) => {
                for (key, value) in self.entries(node, "networks") {
                    let fields = self.fields(
                        value,
                        &format!("network `{}` of service `{service}`", key.name),
                        Some(Scope::ServiceNetwork),
                        &["ipv4_address", "aliases"],
                    );
                    if let Some((_, node)) = fields.get("aliases") {
                        aliases.extend(self.aliases(node, &key.name));
                    }
                    let address = fields.get("ipv4_address").and_then(|(_, node)| {
                        self.parsed(node, "ipv4_address", "an IPv4 address", |text| {
                            text.parse().ok()
                        })
                        .map(|address| (node.at, address))
                    });
                    members.push((key.at, key.name.clone(), address));
                }
            }
            None => {}
        }
        if members.is_empty() {
            members.push((
                networks.map_or(Span::default(), |node| node.at),
                DEFAULT.to_owned(),
                None,
            ));
        }
        for (at, name, _) in &members {
            if !declared.networks.contains_key(name) {
                self.error(
                    *at,
                    format!("network `{name}` is not declared"),
                    format!(
                        "add it under the top-level `networks`; declared: {}",
                        join(declared.networks.keys())
                    ),
                );
            }
        }
        let names: BTreeSet<String> = members.iter().map(|(_, name, _)| name.clone()).collect();
        let tier = match tier {
            Some((at, tier)) if !names.contains(&tier) => {
                self.error(at, format!("service `{service}` has the tier `{tier}`, but is no member of that network"), format!("write one of {}", join(&names)));
                let attachment = Attachment::Tier {
                    tier: members.swap_remove(0).1,
                    address: None,
                    networks: names,
                };
                return (attachment, aliases);
            }
            Some((_, tier)) => tier,
            None => members[0].1.clone(),
        };
        let mut address = None;
        for (_, name, fixed) in members {
            let Some((at, fixed)) = fixed else { continue };
            if name == tier {
                self.places.insert(format!("address:{service}"), at);
                address = Some(fixed);
            } else {
                self.error(
                    at,
                    format!(
                        "service `{service}` has an address in `{name}`, but its tier is `{tier}`"
                    ),
                    "an instance has one address: remove this one, or change x-netns.tier",
                );
            }
        }
        let attachment = Attachment::Tier {
            tier,
            address,
            networks: names,
        };
        (attachment, aliases)
    }
}

/// Names separated by commas.
fn join<'s>(names: impl IntoIterator<Item = &'s String>) -> String {
    names
        .into_iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}
