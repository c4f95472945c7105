//! Network namespaces held by descriptor, and threads that work inside one.
//!
//! `setns` changes one thread. So work inside a namespace happens on a thread of its own that ends with the work: there is no
//! way back that could be missed, and no worker of an async runtime can be left in the wrong place.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

/// A network namespace. It exists for as long as a descriptor, a process or a socket is in it.
#[derive(Debug)]
pub struct NetNamespace(OwnedFd);

impl NetNamespace {
    /// The namespace that the calling thread is in.
    ///
    /// # Errors
    /// When `/proc` is missing.
    pub fn current() -> io::Result<Self> {
        Ok(Self(File::open("/proc/thread-self/ns/net")?.into()))
    }

    /// Moves the calling thread into a new namespace and returns it. The thread must be one that ends soon.
    pub(super) fn unshare() -> io::Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        Self::current()
    }

    /// Another descriptor of the same namespace.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }
}

impl From<OwnedFd> for NetNamespace {
    /// What is no network namespace is refused when it is entered.
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }
}

impl AsFd for NetNamespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Runs `work` on a thread inside `namespace` and waits for it. Sockets that it opens stay in that namespace wherever they go.
///
/// # Errors
/// When the thread cannot be started or may not enter.
pub fn run_in<T: Send>(
    namespace: BorrowedFd<'_>,
    work: impl FnOnce() -> T + Send,
) -> io::Result<T> {
    run_on_own_thread(move || {
        setns(namespace, CloneFlags::CLONE_NEWNET)?;
        Ok(work())
    })
}

/// Runs `work` on a thread that ends with it; a panic of the work goes on in the caller.
pub(super) fn run_on_own_thread<T: Send>(
    work: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    thread::scope(|scope| {
        thread::Builder::new()
            .name("in-namespace".into())
            .spawn_scoped(scope, work)?
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
