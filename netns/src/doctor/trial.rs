//! What the kernel can do, tried: one of everything, in a user and network namespace that ends with the trial.

use std::collections::BTreeMap;
use std::process::Command;
use std::process::Stdio;

use super::check::{Check, Group};
use super::machine::{Machine, program};

/// Something tried: its name, the commands, and whether the lab can do without it (then, what for it is not needed).
struct Trial {
    name: &'static str,
    commands: &'static str,
    /// Empty for what every lab needs.
    without: &'static str,
}

const fn needed(name: &'static str, commands: &'static str) -> Trial {
    Trial {
        name,
        commands,
        without: "",
    }
}

const TRIALS: &[Trial] = &[
    needed("bridge", "ip link add probe type bridge"),
    needed("veth", "ip link add v0 type veth peer name v1"),
    needed(
        "port isolation",
        "ip link set v0 master probe && ip link set v0 type bridge_slave isolated on",
    ),
    needed(
        "proxy ARP",
        "echo 1 >/proc/sys/net/ipv4/conf/probe/proxy_arp_pvlan && echo 0 >/proc/sys/net/ipv4/neigh/probe/proxy_delay",
    ),
    needed(
        "nf_tables",
        "nft 'add table inet t; add chain inet t f { type filter hook forward priority 0; }'",
    ),
    needed(
        "conntrack",
        "nft add rule inet t f ct state established accept",
    ),
    needed(
        "nat",
        "nft 'add chain inet t n { type nat hook prerouting priority dstnat; }; add rule inet t n tcp dport 1 dnat ip to 10.0.0.1:1'",
    ),
    needed(
        "reject",
        "nft 'add chain inet t i { type filter hook input priority 0; }; add rule inet t i reject with icmpx admin-prohibited'",
    ),
    Trial {
        name: "vxlan",
        commands: "ip link add x0 type vxlan id 7 dstport 4789 dev v1",
        without: "only networks over several hosts need it",
    },
    Trial {
        name: "netem",
        commands: "tc qdisc add dev v1 root netem delay 1ms",
        without: "only added delay needs it",
    },
    Trial {
        name: "tbf",
        commands: "tc qdisc replace dev v1 root tbf rate 1mbit burst 4k latency 9ms",
        without: "only rate limits need it",
    },
    Trial {
        name: "htb",
        commands: "tc qdisc replace dev v1 root htb",
        without: "only rate limits need it",
    },
    Trial {
        name: "fq_codel",
        commands: "tc qdisc replace dev v1 root fq_codel",
        without: "only experiments with queues need it",
    },
];

/// What came of the trials: the kernel's words for each that failed, by name.
pub type Refused = BTreeMap<String, String>;

/// Tries everything. None when it could not be tried at all.
pub(super) fn tried() -> Option<Refused> {
    let mut script = String::new();
    for Trial { name, commands, .. } in TRIALS {
        script.push_str(&format!(
            "said=$({{ {commands}; }} 2>&1) || printf '%s\\t%s\\n' '{name}' \"$said\" | head -n 1\n"
        ));
    }
    let output = Command::new(program("unshare")?)
        .args([
            "--user",
            "--map-root-user",
            "--net",
            "/bin/sh",
            "-c",
            &script,
        ])
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output.status.success().then(|| {
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        let pairs = lines.lines().filter_map(|line| line.split_once('\t'));
        pairs
            .map(|(name, said)| (name.to_owned(), said.trim().to_owned()))
            .collect()
    })
}

/// What came of it.
pub(super) fn judged(machine: &Machine) -> Vec<Check> {
    const GROUP: Group = Group::Kernel;
    let Some(refused) = &machine.refused else {
        return vec![
            Check::unknown(
                GROUP,
                "features",
                "not tried: that takes namespaces, ip, nft and unshare",
            )
            .remedy("comes by itself once what is missing here is there"),
        ];
    };
    let (needs, options): (Vec<&Trial>, Vec<&Trial>) =
        TRIALS.iter().partition(|trial| trial.without.is_empty());
    let mut checks = Vec::new();
    let names = |trials: &[&Trial]| -> Vec<&str> {
        let work = trials
            .iter()
            .filter(|trial| !refused.contains_key(trial.name));
        work.map(|trial| trial.name).collect()
    };
    if names(&needs).len() == needs.len() {
        checks.push(Check::ok(GROUP, "features", names(&needs).join(", ")));
    }
    for trial in &needs {
        if let Some(said) = refused.get(trial.name) {
            checks.push(
                Check::missing(GROUP, trial.name, format!("not supported by this kernel: {said}"))
                    .remedy("as root: modprobe -a bridge veth nf_tables nft_ct nft_nat nft_reject_inet; or use a stock kernel"),
            );
        }
    }
    let work = names(&options);
    if !work.is_empty() {
        checks.push(Check::ok(GROUP, "more", work.join(", ")));
    }
    let has_tc = machine.programs.contains_key("tc");
    for trial in &options {
        let Some(said) = refused.get(trial.name) else {
            continue;
        };
        checks.push(if trial.commands.starts_with("tc ") && !has_tc {
            Check::unknown(GROUP, trial.name, "not tried: there is no tc").packages(&["iproute2"])
        } else {
            let module = match trial.name {
                "vxlan" => "vxlan".to_owned(),
                name => format!("sch_{name}"),
            };
            Check::note(
                GROUP,
                trial.name,
                format!("not supported by this kernel ({said}); {}", trial.without),
            )
            .remedy(format!("as root: modprobe {module}; a stock kernel has it"))
        });
    }
    checks
}
