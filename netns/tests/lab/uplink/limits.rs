//! What an uplink adds to the host, and what it does not open.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::LISTENED;
use crate::dial::{Dialled, dial};
use crate::instance::{enter, namespaces};
use crate::playhost::{NEIGHBOUR, OWN, PlayHost};
use crate::setting::Lab;

/// What was there is there unchanged; whatever was not is of the one link.
pub(super) fn only_adds(
    before: &BTreeMap<String, String>,
    now: &BTreeMap<String, String>,
    link: &str,
) -> Result<()> {
    for (name, value) in before {
        ensure!(
            now.get(name) == Some(value),
            "{name}: {value:?} became {:?}",
            now.get(name)
        );
    }
    let added: Vec<&str> = now
        .keys()
        .filter(|name| !before.contains_key(*name))
        .map(String::as_str)
        .collect();
    let strange: Vec<&&str> = added.iter().filter(|name| !name.contains(link)).collect();
    ensure!(strange.is_empty(), "{strange:#?}");
    let of = |kind: &str| {
        added
            .iter()
            .filter(|name| name.starts_with(kind))
            .collect::<Vec<_>>()
    };
    let [address] = of("address ")[..] else {
        anyhow::bail!("{:#?}", of("address "))
    };
    let address: Value = serde_json::from_str(address.trim_start_matches("address "))?;
    let given: Vec<&Value> = address["addr_info"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    ensure!(
        link.len() <= 15 && given.len() == 1 && given[0]["prefixlen"] == 31,
        "{address}"
    );
    let routes: Vec<Value> = of("route ")
        .iter()
        .filter_map(|route| serde_json::from_str(route.trim_start_matches("route ")).ok())
        .collect();
    // To the two tiers; and of the kernel's own making, to the address and its peer.
    let ways = routes.iter().filter(|route| route["metric"] == 9999);
    ensure!(ways.count() == 2 && routes.len() == 4, "{routes:#?}");
    ensure!(of("route6 ").is_empty(), "{:#?}", of("route6 "));
    Ok(())
}

/// No namespace of the lab but its router's, where no instance is, opens a connection to the host or beyond.
pub(super) async fn no_way_out(lab: &Lab<'_>, play: &PlayHost, targets: &[Ipv4Addr]) -> Result<()> {
    let everywhere = || TcpListener::bind((Ipv4Addr::UNSPECIFIED, LISTENED));
    let _listening = (
        play.host.inside(everywhere)??,
        play.neighbour.inside(everywhere)??,
    );
    let dialled = play.neighbour.dial_from(NEIGHBOUR, (OWN, LISTENED))?;
    ensure!(
        dialled == Dialled::Open,
        "the listener does not listen: {dialled:?}"
    );
    let first = lab.first_process().await?;
    let targets: BTreeMap<SocketAddr, bool> = targets
        .iter()
        .map(|address| (SocketAddr::from((*address, LISTENED)), false))
        .collect();
    let mut tried = 0;
    for namespace in namespaces(first)? {
        let links = enter(first, &namespace, Command::new("ip").args(["-br", "link"]))?;
        if String::from_utf8_lossy(&links.stdout).contains("uplink") {
            foreign_is_dropped(first, &namespace)?;
            continue;
        }
        for (address, dialled) in dial(first, &namespace, &targets)? {
            ensure!(
                dialled != Dialled::Open,
                "{} reaches {address}",
                namespace.display()
            );
        }
        tried += 1;
    }
    ensure!(tried == 4, "{tried} of the world and three instances");
    Ok(())
}

/// What came with another address than the host's was dropped for that, before any flow was asked.
fn foreign_is_dropped(first: i32, router: &Path) -> Result<()> {
    let mut list = Command::new("nft");
    list.args(["list", "chain", "inet", "underlay", "forward"]);
    let rules = String::from_utf8(enter(first, router, &list)?.stdout)?;
    let rule = rules
        .lines()
        .find(|rule| rule.contains("foreign source in uplink"));
    ensure!(
        rule.is_some_and(|rule| !rule.contains("packets 0 ")),
        "{rules}"
    );
    Ok(())
}
