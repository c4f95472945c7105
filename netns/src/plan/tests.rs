//! The plan of the repository's own file, and plans that must be refused.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::*;
use crate::compose::{Source, read};

pub(super) fn project(text: &str) -> Project {
    read(
        vec![Source {
            path: "c.yml".into(),
            text: text.to_owned(),
        }],
        Path::new("/stack"),
        &BTreeMap::new(),
    )
    .unwrap_or_else(|found| {
        panic!(
            "{}\n{text}",
            found
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("\n")
        )
    })
}

fn repository(scale: &[(&str, u32)]) -> Plan {
    let text = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker-compose.yml"),
    )
    .unwrap();
    plan(
        &project(&text),
        &scale
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect(),
    )
    .unwrap()
}

fn addresses(plan: &Plan) -> BTreeMap<&str, String> {
    plan.instances
        .iter()
        .filter_map(|instance| {
            Some((
                instance.name.as_str(),
                instance.link.as_ref()?.address.to_string(),
            ))
        })
        .collect()
}

#[test]
fn a_fixed_address_is_nobody_elses() {
    // Without an `ip_range` others are numbered from the whole subnet, in which it lies.
    let plan = plan(
        &project(
            "services:\n  a: {image: redis, networks: {n: {ipv4_address: 10.9.0.2}}}\n  b: {image: redis, networks: [n]}\nnetworks: {n: {ipam: {config: [{subnet: 10.9.0.0/24}]}}}\n",
        ),
        &Scale::new(),
    )
    .unwrap();
    let expected = [("a-1", "10.9.0.2/24"), ("b-1", "10.9.0.3/24")];
    assert_eq!(
        addresses(&plan),
        expected
            .map(|(name, address)| (name, address.to_owned()))
            .into()
    );
}

#[test]
fn the_repositorys_file_is_planned() {
    let plan = repository(&[("product-service", 3)]);
    let expected = BTreeMap::from([
        ("api-gateway-1", "172.20.0.10/24"),
        ("order-service-1", "172.21.0.128/24"),
        ("postgres-1", "172.22.0.20/24"),
        ("product-service-1", "172.21.0.129/24"),
        ("product-service-2", "172.21.0.131/24"),
        ("product-service-3", "172.21.0.133/24"),
        ("redis-1", "172.22.0.10/24"),
        ("service-registry-1", "172.21.0.5/24"),
    ]);
    assert_eq!(
        addresses(&plan),
        expected
            .into_iter()
            .map(|(name, address)| (name, address.to_owned()))
            .collect()
    );
    assert_eq!(
        plan.start_order,
        [
            "secrets",
            "postgres",
            "redis",
            "service-registry",
            "order-service",
            "product-service",
            "api-gateway"
        ]
    );
    let product = plan.instance("product-service-1").unwrap();
    let link = product.link.as_ref().unwrap();
    assert_eq!(
        (link.port.as_str(), link.mac.to_string().as_str()),
        ("v-product-ser-1", "02:42:ac:15:00:81")
    );
    assert_eq!(
        product.etc_hosts(),
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n172.21.0.129\tproduct-service product-service-1\n\
         172.22.0.20\tpostgres postgres-1\n172.22.0.10\tredis redis-1\n172.21.0.5\tservice-registry service-registry-1\n"
    );
    let secrets = plan.instance("secrets-1").unwrap();
    assert!(secrets.link.is_none() && !secrets.etc_hosts().contains("postgres"));
    let published: Vec<_> = plan
        .publish
        .iter()
        .map(|publish| {
            (
                publish.host_port,
                publish.path,
                publish.dial[0].namespace.as_str(),
                publish.dial[0].address.to_string(),
            )
        })
        .collect();
    assert_eq!(
        published,
        [
            (
                8080,
                PublishPath::World,
                "world",
                "203.0.113.1:8080".to_owned()
            ),
            (
                3000,
                PublishPath::World,
                "world",
                "203.0.113.1:3000".to_owned()
            ),
            (
                3001,
                PublishPath::OwnNamespace,
                "api-gateway-1",
                "172.20.0.10:3001".to_owned()
            ),
        ]
    );
    for line in [
        "ip saddr 203.0.113.2 ip daddr 172.20.0.10 tcp dport 3000 ct state new counter accept comment \"world -> api-gateway:3000\"",
        "ip saddr 172.20.0.10 ip daddr { 172.21.0.129, 172.21.0.131, 172.21.0.133 } tcp dport 5000 ct state new counter accept comment \"api-gateway -> product-service:5000\"",
        "iifname \"world\" ip daddr 203.0.113.1 tcp dport 8080 counter dnat ip to 172.20.0.10:3000 comment \"8080 of the host\"",
    ] {
        assert!(plan.ruleset.contains(line), "{line}\n{}", plan.ruleset);
    }
}

#[test]
fn a_service_without_instances_is_neither_reachable_nor_published() {
    let plan = repository(&[("api-gateway", 0)]);
    assert!(plan.publish.is_empty());
    assert!(!plan.ruleset.contains("api-gateway"));
}

#[test]
fn a_step_reads_as_a_command() {
    let plan = repository(&[]);
    let lines: Vec<String> = plan.ops.iter().map(ToString::to_string).collect();
    for line in [
        "ip netns add redis-1",
        "ip -n router link add br-backend address 02:42:ac:15:00:01 type bridge",
        "ip netns exec router sysctl -w net/ipv4/conf/br-backend/proxy_arp_pvlan=1",
        "ip -n router link add v-redis-1 address 02:43:ac:16:00:0a master br-database type veth peer name eth0 address 02:42:ac:16:00:0a netns redis-1",
        "ip -n router link set v-redis-1 type bridge_slave isolated on",
        "ip -n redis-1 addr add 172.22.0.10/24 dev eth0",
        "ip -n redis-1 route add default via 172.22.0.1",
    ] {
        assert!(
            lines.iter().any(|other| other == line),
            "{line}\n{}",
            lines.join("\n")
        );
    }
    let position = |wanted: fn(&Op) -> bool| plan.ops.iter().position(wanted).unwrap();
    assert!(
        position(|op| matches!(op, Op::Ruleset { .. }))
            < position(|op| matches!(op, Op::AddVeth { .. }))
    );
}

#[test]
fn the_kernel_takes_the_ruleset_and_takes_it_again() {
    // Several gateways, so that the map of the round robin is among what is loaded.
    let text = "x-flows: [world -> web:80, web -> db:5432/udp]\nservices:\n  web: {scale: 3, ports: [\"80:80\"], x-netns: {run: {exec: a}}}\n  db: {image: postgres}\n";
    for plan in [
        repository(&[("order-service", 2)]),
        plan(&project(text), &Scale::new()).unwrap(),
    ] {
        let mut child = Command::new("unshare")
            .args(["--user", "--map-root-user", "--net", "nft", "-f", "-"])
            // An ordinary user's path does not lead to nft.
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("unshare and nft run: apt-get install util-linux nftables");
        child
            .stdin
            .take()
            .unwrap()
            .write_all(plan.ruleset.repeat(2).as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}\n{}",
            String::from_utf8_lossy(&output.stderr),
            plan.ruleset
        );
    }
}

#[test]
fn a_scale_that_cannot_be_met_is_refused() {
    let base = "networks: {n: {ipam: {config: [{subnet: 10.0.0.0/24, ip_range: 10.0.0.248/29}]}}}\nservices:\n  a: {networks: {n: {ipv4_address: 10.0.0.9}}, image: redis}\n  b: {networks: [n], image: redis}\n";
    let refused = |name: &str, count| {
        plan(&project(base), &Scale::from([(name.to_owned(), count)]))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refused("c", 1),
        "--scale names c, which is no service of the file"
    );
    assert!(
        refused("a", 2)
            .starts_with("a has the fixed address 10.0.0.9, so it cannot run 2 instances")
    );
    assert!(refused("b", 8).starts_with("network n has no address left for b-8 in 10.0.0.248/29"));
    assert!(plan(&project(base), &Scale::from([("b".to_owned(), 7)])).is_ok());
}

#[test]
fn without_flows_mates_reach_each_other_on_every_port() {
    let plan = plan(
        &project("services:\n  a: {networks: [x], image: redis}\n  b: {networks: [y, x], image: redis}\n  c: {networks: [y], image: redis, ports: [\"1:2\"]}\nnetworks: {x: , y: }\n"),
        &Scale::new(),
    )
    .unwrap();
    let comments: Vec<_> = plan
        .ruleset
        .lines()
        .filter(|line| line.contains(" ct state new "))
        .filter_map(|line| line.split('"').nth(1))
        .collect();
    assert_eq!(
        comments,
        [
            "world -> c:2",
            "a -> a",
            "a -> b",
            "b -> a",
            "b -> b",
            "b -> c",
            "c -> b",
            "c -> c"
        ]
    );
}

#[path = "opened.rs"]
mod opened;
#[path = "properties.rs"]
mod properties;
#[path = "shared_properties.rs"]
mod shared_properties;
