//! The lab's network: shared by those who enter a namespace of it and those who change it.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::kernel::Network;
use crate::kernel::namespace::NetNamespace;
use crate::kernel::relay::Upstream;
use crate::plan::{Dial, Op};

/// Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(super) struct SharedNetwork(Arc<Mutex<Network>>);

impl SharedNetwork {
    pub(super) fn new(network: Network) -> Self {
        Self(Arc::new(Mutex::new(network)))
    }

    fn lock(&self) -> MutexGuard<'_, Network> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The namespace of that name, by a descriptor of the caller's own: it must not outlive what it is needed for.
    pub(super) fn namespace(&self, name: &str) -> io::Result<NetNamespace> {
        self.lock()
            .namespace(name)
            .ok_or_else(|| io::Error::other(format!("there is no namespace {name}")))?
            .try_clone()
    }

    /// How long building it took.
    pub(super) fn duration(&self) -> Duration {
        self.lock().duration()
    }

    /// Takes steps: milliseconds, so not for the main task.
    pub(super) fn apply(&self, ops: &[Op]) -> Result<(), String> {
        self.lock().apply(ops).map_err(|error| error.to_string())
    }

    /// Takes each of these steps that can be taken.
    pub(super) fn apply_what_can_be(&self, ops: &[Op]) {
        let mut network = self.lock();
        for op in ops {
            if let Err(error) = network.apply(std::slice::from_ref(op)) {
                tracing::debug!(%error, "a step back was not needed");
            }
        }
    }

    /// Where a relay dials.
    pub(super) fn upstreams(&self, dials: &[Dial]) -> io::Result<Vec<Upstream>> {
        dials
            .iter()
            .map(|dial| {
                Ok(Upstream {
                    namespace: self.namespace(&dial.namespace)?,
                    address: dial.address,
                })
            })
            .collect()
    }
}
