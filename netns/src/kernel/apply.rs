//! Applies the steps of a plan and holds what they made.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use serde::Serialize;

use super::failure::{Failure, Step};
use super::namespace::{NetNamespace, run_on_own_thread};
use super::netlink::{
    Netlink,
    messages::{self, End},
};
use super::nft;
use crate::plan::{Op, Plan};

/// What was built: every network namespace, held open. They end with the process that holds them.
#[derive(Debug, Default)]
pub struct Network {
    namespaces: BTreeMap<String, NetNamespace>,
    phases: Vec<Phase>,
}

/// How long one kind of step took, in sum.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Phase {
    /// Which kind.
    pub name: &'static str,
    /// How many steps.
    pub steps: usize,
    /// How long.
    pub duration: Duration,
}

/// The step that the kernel refused. Prints as the command that a person would have typed, the reason, and the remedy.
#[derive(Clone, Debug)]
pub struct BuildError {
    /// The equivalent command.
    pub command: String,
    /// Why.
    pub failure: Failure,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.command, self.failure)
    }
}

impl std::error::Error for BuildError {}

/// Builds the whole network of a plan. To be called in the lab's PID 1, with no other thread that starts processes meanwhile.
///
/// # Errors
/// The first step that was refused. What had been made is freed with the returned error.
pub fn build(plan: &Plan) -> Result<Network, BuildError> {
    let mut network = Network::default();
    network.apply(&plan.ops)?;
    Ok(network)
}

impl Network {
    /// The namespace of that name in the plan.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<&NetNamespace> {
        self.namespaces.get(name)
    }

    /// How long it took, by kind of step, in the order of their first use.
    #[must_use]
    pub fn phases(&self) -> &[Phase] {
        &self.phases
    }

    /// How long all steps took.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.phases.iter().map(|phase| phase.duration).sum()
    }

    /// Takes further steps.
    ///
    /// # Errors
    /// The first step that was refused; those before it stay taken.
    pub fn apply(&mut self, ops: &[Op]) -> Result<(), BuildError> {
        // A thread of its own moves from namespace to namespace and ends: nothing has to find its way back.
        run_on_own_thread(|| {
            let mut worker = Worker {
                network: self,
                here: None,
                sockets: BTreeMap::new(),
                indices: BTreeMap::new(),
            };
            Ok(ops.iter().try_for_each(|op| worker.take(op)))
        })
        .unwrap_or_else(|error| {
            Err(BuildError {
                command: "start a thread".into(),
                failure: Err::<(), _>(error)
                    .step(|| "build the network".into())
                    .expect_err("an error stays one"),
            })
        })
    }

    fn book(&mut self, name: &'static str, duration: Duration) {
        if let Some(phase) = self.phases.iter_mut().find(|phase| phase.name == name) {
            phase.steps += 1;
            phase.duration += duration;
            return;
        }
        self.phases.push(Phase {
            name,
            steps: 1,
            duration,
        });
    }
}

/// Takes steps, on a thread that moves between namespaces.
struct Worker<'network> {
    network: &'network mut Network,
    /// Where the thread is; none before the first move.
    here: Option<String>,
    sockets: BTreeMap<String, Netlink>,
    /// Interface numbers by namespace and name.
    indices: BTreeMap<(String, String), u32>,
}

impl Worker<'_> {
    fn take(&mut self, op: &Op) -> Result<(), BuildError> {
        let start = now();
        let outcome = self.dispatch(op);
        self.network
            .book(phase_of(op), now().saturating_duration_since(start));
        outcome.map_err(|failure| BuildError {
            command: command_of(op),
            failure: hint(op, failure),
        })
    }

    fn dispatch(&mut self, op: &Op) -> Result<(), Failure> {
        match op {
            Op::AddNamespace { name } => self.add_namespace(name),
            Op::Ruleset { namespace, text } => {
                self.go(namespace)?;
                nft::load(text)
            }
            Op::Sysctl {
                namespace,
                key,
                value,
            } => {
                self.go(namespace)?;
                set(key, value)
            }
            _ => self.netlink(op).step(|| "refused by the kernel".into()),
        }
    }

    fn netlink(&mut self, op: &Op) -> io::Result<()> {
        let create = NLM_F_CREATE | NLM_F_EXCL;
        let (message, flags) = match op {
            Op::AddBridge { name, mac, .. } => (messages::add_bridge(name, *mac), create),
            Op::AddVeth {
                namespace,
                name,
                mac,
                bridge,
                peer_namespace,
                peer,
                peer_mac,
            } => {
                let bridge = bridge
                    .as_deref()
                    .map(|bridge| self.index(namespace, bridge))
                    .transpose()?;
                let far = self
                    .network
                    .namespaces
                    .get(peer_namespace)
                    .ok_or_else(|| no_namespace(peer_namespace))?;
                let near = End { name, mac: *mac };
                let peer = End {
                    name: peer,
                    mac: *peer_mac,
                };
                let message = messages::add_veth(near, bridge, peer, far.as_fd());
                (message, create)
            }
            Op::IsolatePort { namespace, link } => {
                (messages::isolate_port(self.index(namespace, link)?), 0)
            }
            Op::AddAddress {
                namespace,
                link,
                address,
            } => {
                let index = self.index(namespace, link)?;
                (messages::add_address(index, *address), create)
            }
            Op::LinkUp { namespace, link } => (messages::link_up(self.index(namespace, link)?), 0),
            Op::AddRoute {
                destination, via, ..
            } => (messages::add_route(*destination, *via), create),
            Op::AddNamespace { .. } | Op::Ruleset { .. } | Op::Sysctl { .. } => return Ok(()),
        };
        self.socket(op.namespace())?.change(message, flags)
    }

    fn add_namespace(&mut self, name: &str) -> Result<(), Failure> {
        if self.network.namespaces.contains_key(name) {
            return Err(Failure::of("make the namespace", "it exists already"));
        }
        let namespace = NetNamespace::unshare().step(|| "unshare it".into())?;
        self.here = Some(name.to_owned());
        let socket = Netlink::open().step(|| "open a netlink socket in it".into())?;
        self.sockets.insert(name.to_owned(), socket);
        self.network.namespaces.insert(name.to_owned(), namespace);
        Ok(())
    }

    /// Moves the thread into a namespace.
    fn go(&mut self, name: &str) -> Result<(), Failure> {
        if self.here.as_deref() == Some(name) {
            return Ok(());
        }
        let namespace = self
            .network
            .namespaces
            .get(name)
            .ok_or_else(|| no_namespace(name))
            .step(|| "enter the namespace".into())?;
        setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET).step(|| "enter the namespace".into())?;
        self.here = Some(name.to_owned());
        Ok(())
    }

    fn socket(&mut self, namespace: &str) -> io::Result<&mut Netlink> {
        if !self.sockets.contains_key(namespace) {
            self.go(namespace).map_err(io::Error::other)?;
            self.sockets.insert(namespace.to_owned(), Netlink::open()?);
        }
        self.sockets
            .get_mut(namespace)
            .ok_or_else(|| no_namespace(namespace))
    }

    fn index(&mut self, namespace: &str, link: &str) -> io::Result<u32> {
        let key = (namespace.to_owned(), link.to_owned());
        if let Some(index) = self.indices.get(&key) {
            return Ok(*index);
        }
        let index = self.socket(namespace)?.index_of(link)?;
        self.indices.insert(key, index);
        Ok(index)
    }
}

/// Sets a kernel parameter of the calling thread's namespace.
fn set(key: &str, value: &str) -> Result<(), Failure> {
    let path = Path::new("/proc/sys").join(key);
    match fs::write(&path, value) {
        // A kernel booted without IPv6 has nothing to switch off.
        Err(error) if error.kind() == io::ErrorKind::NotFound && key.starts_with("net/ipv6/") => {
            Ok(())
        }
        outcome => outcome.step(|| format!("write {}", path.display())),
    }
}

fn no_namespace(name: &str) -> io::Error {
    io::Error::other(format!("no namespace {name} has been made"))
}

fn phase_of(op: &Op) -> &'static str {
    match op {
        Op::AddNamespace { .. } => "namespaces",
        Op::AddBridge { .. } | Op::AddVeth { .. } | Op::IsolatePort { .. } | Op::LinkUp { .. } => {
            "links"
        }
        Op::AddAddress { .. } => "addresses",
        Op::AddRoute { .. } => "routes",
        Op::Sysctl { .. } => "sysctls",
        Op::Ruleset { .. } => "rules",
    }
}

/// The command for an error message: a ruleset is too long for one.
fn command_of(op: &Op) -> String {
    match op {
        Op::Ruleset { namespace, .. } => format!("ip netns exec {namespace} nft -f -"),
        _ => op.to_string(),
    }
}

fn hint(op: &Op, failure: Failure) -> Failure {
    if failure.remedy.is_some() {
        return failure;
    }
    let remedy = match (op, Errno::from_raw(failure.errno)) {
        (Op::AddBridge { .. }, Errno::EOPNOTSUPP) => {
            "this kernel has no bridge: as root, modprobe bridge"
        }
        (Op::AddVeth { .. }, Errno::EOPNOTSUPP) => {
            "this kernel has no veth: as root, modprobe veth"
        }
        (Op::AddNamespace { .. }, Errno::ENOSPC) => {
            "as root, raise it: sysctl user.max_net_namespaces=15000"
        }
        (_, Errno::EMFILE) => "raise the limit of open files: ulimit -n 4096",
        (Op::Sysctl { .. }, Errno::ENOENT) => "this kernel is too old, or lacks that feature",
        _ => return failure,
    };
    failure.remedy(remedy)
}

#[expect(
    clippy::disallowed_methods,
    reason = "measures real work; nothing is decided by it"
)]
fn now() -> Instant {
    Instant::now()
}
