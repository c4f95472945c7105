//! The network of the project's own Compose file, built and then tried pair by pair with real connections.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use netns_setup::compose::{self, Peer, Policy, Project};
use netns_setup::kernel::namespace::run_in;
use netns_setup::kernel::{Network, build};
use netns_setup::plan::{Instance, Op, Plan, ROUTER, ROUTER_ADDRESS, WORLD, plan};
use serde_json::Value;

use crate::lab::{Lab, output_in};

/// Every port that any flow names, and one that none does.
const PORTS: [u16; 6] = [3000, 3001, 5000, 5432, 6379, 8500];
/// More than a refusal ever takes on one machine; less than a person waits.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) fn exactly_the_flows_are_open(lab: &mut Lab) {
    let (project, plan) = shop(lab);
    let network = build(&plan).unwrap();
    println!(
        "network of {} instances built in {:.1?}: {:.1?}",
        plan.instances.len(),
        network.duration(),
        network.phases()
    );
    check_by_tools(&plan, &network);
    // What must hold without it: a stock machine has no br_netfilter.
    run_in(network.namespace(ROUTER).unwrap().as_fd(), || {
        let _ = fs::write("/proc/sys/net/bridge/bridge-nf-call-iptables", "0");
        // Hundreds of refusals in a row are more than a machine gives (1000 a second); newer kernels let a namespace say so.
        let _ = fs::write("/proc/sys/net/ipv4/icmp_msgs_per_sec", "100000");
        let _ = fs::write("/proc/sys/net/ipv4/icmp_msgs_burst", "10000");
    })
    .unwrap();

    let attached: Vec<_> = plan
        .instances
        .iter()
        .filter(|instance| instance.link.is_some())
        .collect();
    let _listeners: Vec<_> = attached
        .iter()
        .flat_map(|instance| PORTS.map(|port| listen(&network, instance, port)))
        .collect();
    let flows = declared(&project);
    let mut open = BTreeSet::new();
    for from in &attached {
        for to in attached.iter().filter(|to| to.name != from.name) {
            for port in PORTS {
                if connect(&network, &from.name, address(to), port).is_ok() {
                    open.insert((from.service.clone(), to.service.clone(), port));
                } else {
                    let flow = (from.service.clone(), to.service.clone(), port);
                    assert!(
                        !flows.contains(&flow),
                        "{flow:?} from {} to {}",
                        from.name,
                        to.name
                    );
                }
            }
        }
    }
    assert_eq!(open, flows, "what is open, and what is declared");

    let router = ROUTER_ADDRESS.addr();
    for port in [8080, 3000] {
        connect(&network, WORLD, router, port).unwrap();
    }
    assert!(connect(&network, WORLD, router, 3001).is_err());
    for to in &attached {
        for port in PORTS {
            // The gateway's own port is the one flow from the world; translated or not.
            let expected = (to.service.as_str(), port) == ("api-gateway", 3000);
            let answer = connect(&network, WORLD, address(to), port);
            assert_eq!(answer.is_ok(), expected, "world to {} {port}", to.name);
        }
        assert!(connect(&network, &to.name, ROUTER_ADDRESS.addr(), 22).is_err());
    }
}

/// The project's file, planned with two more product instances.
pub(crate) fn shop(lab: &Lab) -> (Project, Plan) {
    let file = lab.folder.path().join("docker-compose.yml");
    fs::write(&file, include_str!("../../../docker-compose.yml")).unwrap();
    let project =
        compose::load(&[file], &[], &BTreeMap::new()).unwrap_or_else(|errors| panic!("{errors:?}"));
    let plan = plan(
        &project,
        &BTreeMap::from([("product-service".to_owned(), 3)]),
    )
    .unwrap();
    (project, plan)
}

fn declared(project: &Project) -> BTreeSet<(String, String, u16)> {
    let Policy::Flows(flows) = &project.policy else {
        panic!("the file states its flows");
    };
    flows
        .iter()
        .filter_map(|flow| match &flow.from {
            Peer::World => None,
            Peer::Service(from) => Some((from.clone(), flow.to.clone(), flow.port)),
        })
        .collect()
}

pub(crate) fn address(instance: &Instance) -> Ipv4Addr {
    instance.link.as_ref().unwrap().address.addr()
}

pub(crate) fn listen(network: &Network, instance: &Instance, port: u16) -> TcpListener {
    let namespace = network.namespace(&instance.name).unwrap();
    run_in(namespace.as_fd(), || {
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))
    })
    .unwrap()
    .unwrap()
}

fn connect(network: &Network, from: &str, to: Ipv4Addr, port: u16) -> io::Result<()> {
    let namespace = network.namespace(from).unwrap();
    let to = SocketAddr::V4(SocketAddrV4::new(to, port));
    run_in(namespace.as_fd(), || {
        TcpStream::connect_timeout(&to, PATIENCE)
    })
    .unwrap()
    .map(drop)
    .inspect_err(|error| {
        assert_ne!(
            error.kind(),
            io::ErrorKind::TimedOut,
            "{from} to {to}: a refusal must be said"
        );
    })
}

/// Compares what the plan says with what `ip` and `nft` see.
fn check_by_tools(plan: &Plan, network: &Network) {
    let router = network.namespace(ROUTER).unwrap();
    let ports: Value =
        serde_json::from_str(&output_in(router, &["ip", "-d", "-j", "link"])).unwrap();
    for instance in &plan.instances {
        let inside = network.namespace(&instance.name).unwrap();
        let links: Value = serde_json::from_str(&output_in(inside, &["ip", "-j", "addr"])).unwrap();
        let names: Vec<_> = links
            .as_array()
            .unwrap()
            .iter()
            .map(|link| link["ifname"].as_str().unwrap())
            .collect();
        let Some(link) = &instance.link else {
            assert_eq!(names, ["lo"], "{}", instance.name);
            continue;
        };
        assert_eq!(names, ["lo", "eth0"], "{}", instance.name);
        let eth0 = &links[1];
        assert_eq!(eth0["address"], link.mac.to_string());
        assert_eq!(eth0["operstate"], "UP");
        assert_eq!(
            eth0["addr_info"][0]["local"],
            link.address.addr().to_string()
        );
        let port = ports
            .as_array()
            .unwrap()
            .iter()
            .find(|port| port["ifname"] == link.port.as_str())
            .unwrap();
        assert_eq!(port["master"], link.bridge.as_str());
        assert_eq!(port["linkinfo"]["info_slave_data"]["isolated"], true);
        let routes = output_in(inside, &["ip", "route", "show", "default"]);
        assert_eq!(
            routes.trim(),
            format!("default via {} dev eth0 proto static", link.gateway)
        );
    }
    let rules = output_in(router, &["nft", "list", "ruleset"]);
    assert!(rules.contains("policy drop"), "{rules}");
    assert!(plan.ops.iter().any(|op| matches!(op, Op::Ruleset { .. })));
}
