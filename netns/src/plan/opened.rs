//! What a ruleset lets through, read from its text and nothing else: so that a line that opens more than a flow says cannot hide
//! between those that are looked for.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

/// What opens a connection: any port of any protocol, or one.
pub(super) type Opening = Option<(String, u16)>;

/// A line that opens connections.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) sources: BTreeSet<Ipv4Addr>,
    pub(super) destinations: BTreeSet<Ipv4Addr>,
    pub(super) opening: Opening,
    /// What the line says it is for.
    pub(super) comment: String,
}

/// The lines that open connections. Of all others of the chain none may let anything through but what belongs to a connection that
/// is known, and what no line speaks of is dropped.
pub(super) fn rules(ruleset: &str) -> Vec<Rule> {
    assert_eq!(ruleset.matches("hook forward").count(), 1, "{ruleset}");
    let (_, chain) = ruleset.split_once("  chain forward {\n").unwrap();
    let (chain, _) = chain.split_once("\n  }\n").unwrap();
    let mut lines = chain.lines().map(str::trim);
    assert_eq!(
        lines.next(),
        Some("type filter hook forward priority filter; policy drop;")
    );
    assert_eq!(lines.next(), Some("ct state established,related accept"));
    let mut rules = Vec::new();
    for line in lines {
        // A service may be called anything, and its name is in the comment.
        let (statement, comment) = line.split_once(" comment ").unwrap_or((line, ""));
        if statement.ends_with(" drop")
            || statement.ends_with(" reject with icmpx admin-prohibited")
        {
            assert!(!statement.contains("accept"), "{line}");
            continue;
        }
        rules.push(rule(statement, comment).unwrap_or_else(|| panic!("what does it open: {line}")));
    }
    rules
}

/// A line of exactly the form that opens connections.
fn rule(statement: &str, comment: &str) -> Option<Rule> {
    let rest = statement.strip_prefix("ip saddr ")?;
    let (sources, rest) = rest.split_once(" ip daddr ")?;
    let rest = rest.strip_suffix("ct state new counter accept")?.trim_end();
    let end = match rest.find('}') {
        Some(end) => end + 1,
        None => rest.find(' ').unwrap_or(rest.len()),
    };
    let (destinations, port) = rest.split_at(end);
    let opening = match port.trim_start().split_once(" dport ") {
        Some((protocol @ ("tcp" | "udp"), port)) => Some((protocol.to_owned(), port.parse().ok()?)),
        Some(_) => return None,
        None => port.is_empty().then_some(None)?,
    };
    Some(Rule {
        sources: addresses(sources)?,
        destinations: addresses(destinations)?,
        opening,
        comment: comment.trim_matches('"').to_owned(),
    })
}

/// One address, or a set of them.
fn addresses(text: &str) -> Option<BTreeSet<Ipv4Addr>> {
    let list = text
        .trim_start_matches('{')
        .trim_end_matches('}')
        .split(',');
    list.map(|address| address.trim().parse().ok()).collect()
}

/// Every pair of addresses between which a connection may be opened, and of what kind; none of them is opened twice.
pub(super) fn pairs(ruleset: &str) -> BTreeSet<(Ipv4Addr, Ipv4Addr, Opening)> {
    let mut pairs = BTreeSet::new();
    for rule in rules(ruleset) {
        for source in &rule.sources {
            for destination in &rule.destinations {
                let pair = (*source, *destination, rule.opening.clone());
                assert!(
                    pairs.insert(pair.clone()),
                    "opened twice: {pair:?}\n{ruleset}"
                );
            }
        }
    }
    pairs
}

/// Each of the one with each of the other.
pub(super) fn cross(sources: &[Ipv4Addr], destinations: &[Ipv4Addr]) -> Vec<(Ipv4Addr, Ipv4Addr)> {
    let with = |source| {
        destinations
            .iter()
            .map(move |destination| (source, *destination))
    };
    sources.iter().copied().flat_map(with).collect()
}
