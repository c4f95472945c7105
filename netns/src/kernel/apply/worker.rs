//! Turns a step into a netlink message, a file below `/proc/sys`, a new namespace, or a run of `nft`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Instant;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use nix::sched::{CloneFlags, setns};

use super::describe::{hint, phase_of};
use super::{BuildError, Network};
use crate::kernel::failure::{Failure, Step};
use crate::kernel::namespace::NetNamespace;
use crate::kernel::netlink::{
    Netlink,
    messages::{self, End},
};
use crate::kernel::nft;
use crate::plan::{Op, ROUTER};

/// Takes steps, on a thread that moves between namespaces.
pub(super) struct Worker<'network> {
    network: &'network mut Network,
    /// Where the thread is; none before the first move.
    here: Option<String>,
    sockets: BTreeMap<String, Netlink>,
    /// Interface numbers by namespace and name.
    indices: BTreeMap<(String, String), u32>,
}

impl<'network> Worker<'network> {
    /// A worker that has not moved yet.
    pub(super) fn new(network: &'network mut Network) -> Self {
        Self {
            network,
            here: None,
            sockets: BTreeMap::new(),
            indices: BTreeMap::new(),
        }
    }

    /// Takes one step and books its time.
    pub(super) fn take(&mut self, op: &Op) -> Result<(), BuildError> {
        let start = now();
        let outcome = self.dispatch(op);
        self.network
            .book(phase_of(op), now().saturating_duration_since(start));
        outcome.map_err(|failure| BuildError {
            command: op.command(),
            failure: hint(op, failure),
        })
    }

    fn dispatch(&mut self, op: &Op) -> Result<(), Failure> {
        match op {
            Op::AddNamespace { name } => self.add_namespace(name),
            Op::DeleteNamespace { name } => self.delete_namespace(name),
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
                destination,
                via,
                metric,
                ..
            } => (messages::add_route(*destination, *via, *metric), create),
            Op::DeleteLink { namespace, link } => {
                self.indices.remove(&(namespace.clone(), link.clone()));
                (messages::delete_link(link), 0)
            }
            Op::AddNamespace { .. }
            | Op::DeleteNamespace { .. }
            | Op::Ruleset { .. }
            | Op::Sysctl { .. } => return Ok(()),
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

    /// Closes what holds the namespace here, this thread included: it may be in it.
    fn delete_namespace(&mut self, name: &str) -> Result<(), Failure> {
        self.go(ROUTER)?;
        self.sockets.remove(name);
        self.indices.retain(|(namespace, _), _| namespace != name);
        self.network
            .namespaces
            .remove(name)
            .map(drop)
            .ok_or_else(|| no_namespace(name))
            .step(|| "let the namespace go".into())
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

#[expect(
    clippy::disallowed_methods,
    reason = "measures real work; nothing is decided by it"
)]
fn now() -> Instant {
    Instant::now()
}
