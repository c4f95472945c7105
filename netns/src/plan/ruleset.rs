//! The policy as nftables text: one table, rewritten whole by one transaction.
//!
//! The text is loaded as it stands, printed by `config --format plan`, and read by people, so it says what each rule is for.
//! Connections that exist when the table is rewritten go on, since conntrack keeps them and `established` comes first.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use super::policy::Permit;
use super::{Publish, PublishPath, ROUTER_ADDRESS, Tier, UPLINK, Uplink, WORLD, WORLD_ADDRESS};
use crate::compose::Protocol;

/// nft refuses longer comments (`NFTNL_UDATA_COMMENT_MAXLEN` is 128, its closing zero included).
const LONGEST_COMMENT: usize = 127;

/// The transaction; published ports lead to those instances that are shown. The table is declared before it is deleted, because deleting one that does not exist is an error.
pub(super) fn ruleset(
    tiers: &[Tier],
    uplink: Option<&Uplink>,
    permits: &[Permit],
    publish: &[Publish],
    is_shown: impl Fn(Ipv4Addr) -> bool,
) -> String {
    let mut text =
        String::from("table inet underlay\ndelete table inet underlay\ntable inet underlay {\n");
    forward(&mut text, tiers, uplink, permits);
    input(&mut text);
    prerouting(&mut text, permits, publish, is_shown);
    text.push_str("}\n");
    text
}

/// Everything between two namespaces passes here, neighbours in a tier included: their bridge ports are isolated, so that the bridge
/// routes between them. What no flow opens is refused (RFC 1812, 5.2.7.1: communication administratively prohibited) instead of
/// dropped, so that a missing flow shows as an error in the caller's log, EHOSTUNREACH, and not as a time-out. Between namespaces of
/// one machine the answer is there while a blocking `connect(2)` still holds its socket, so Linux heeds the one to its second SYN, a
/// second later; who connects without blocking hears the first.
fn forward(text: &mut String, tiers: &[Tier], uplink: Option<&Uplink>, permits: &[Permit]) {
    text.push_str(
        "  chain forward {\n    type filter hook forward priority filter; policy drop;\n",
    );
    text.push_str("    ct state established,related accept\n    ct state invalid counter drop comment \"no connection\"\n");
    // Ingress filtering (BCP 38): rules below trust source addresses.
    for Tier { bridge, subnet, .. } in tiers {
        let _ = writeln!(
            text,
            "    iifname \"{bridge}\" ip saddr != {subnet} counter drop comment \"foreign source in {bridge}\""
        );
    }
    let _ = writeln!(
        text,
        "    iifname \"{WORLD}\" ip saddr != {} counter drop comment \"foreign source in {WORLD}\"",
        WORLD_ADDRESS.trunc()
    );
    // A host that forwards for others forwards them no further: only what it sends itself, or in its own name, comes from here.
    if let Some(Uplink { host, .. }) = uplink {
        let _ = writeln!(
            text,
            "    iifname \"{UPLINK}\" ip saddr != {} counter drop comment \"foreign source in {UPLINK}\"",
            host.addr()
        );
    }
    for permit in permits {
        let port = match permit.port {
            Some((Protocol::Tcp, port)) => format!(" tcp dport {port}"),
            Some((Protocol::Udp, port)) => format!(" udp dport {port}"),
            None => String::new(),
        };
        let comment = permit.label.get(..LONGEST_COMMENT).unwrap_or(&permit.label);
        let (sources, destinations) = (set(&permit.sources), set(&permit.destinations));
        let _ = writeln!(
            text,
            "    ip saddr {sources} ip daddr {destinations}{port} ct state new counter accept comment \"{comment}\""
        );
    }
    text.push_str(
        "    counter reject with icmpx admin-prohibited comment \"no flow opens it\"\n  }\n",
    );
}

/// The router itself answers nothing but pings and what belongs to connections it knows.
fn input(text: &mut String) {
    text.push_str(
        "  chain input {\n    type filter hook input priority filter; policy drop;\n    ct state established,related accept\n    \
         iifname \"lo\" accept\n    icmp type echo-request accept\n    \
         counter reject with icmpx admin-prohibited comment \"the router offers nothing\"\n  }\n",
    );
}

/// Published ports: what the world sends to the router goes to an instance, to each in turn when there are several.
fn prerouting(
    text: &mut String,
    permits: &[Permit],
    publish: &[Publish],
    is_shown: impl Fn(Ipv4Addr) -> bool,
) {
    text.push_str(
        "  chain prerouting {\n    type nat hook prerouting priority dstnat; policy accept;\n",
    );
    let mut ports: Vec<(u16, &str, u16)> = publish
        .iter()
        .filter(|publish| publish.path == PublishPath::World)
        .map(|publish| {
            (
                publish.host_port,
                publish.service.as_str(),
                publish.target_port,
            )
        })
        .collect();
    ports.sort_unstable();
    // The same port on two host addresses is one rule: the router sees the number alone.
    ports.dedup();
    for (host_port, service, target) in ports {
        let opens = |permit: &&Permit| {
            permit.from.is_none()
                && permit.to == service
                && permit.port == Some((Protocol::Tcp, target))
        };
        let Some(permit) = permits.iter().find(opens) else {
            continue;
        };
        let shown: Vec<Ipv4Addr> = permit
            .destinations
            .iter()
            .copied()
            .filter(|address| is_shown(*address))
            .collect();
        let to = match shown.as_slice() {
            [one] => format!("dnat ip to {one}:{target}"),
            several => {
                let turns = several
                    .iter()
                    .enumerate()
                    .map(|(turn, address)| format!("{turn} : {address} . {target}"));
                format!(
                    "dnat ip addr . port to numgen inc mod {} map {{ {} }}",
                    several.len(),
                    turns.collect::<Vec<_>>().join(", ")
                )
            }
        };
        let router = ROUTER_ADDRESS.addr();
        let _ = writeln!(
            text,
            "    iifname \"{WORLD}\" ip daddr {router} tcp dport {host_port} counter {to} comment \"{host_port} of the host\""
        );
    }
    text.push_str("  }\n");
}

fn set(addresses: &[Ipv4Addr]) -> String {
    match addresses {
        [one] => one.to_string(),
        several => format!(
            "{{ {} }}",
            several
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        ),
    }
}
