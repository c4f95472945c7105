//! A worker's connections to upstreams. Each worker has a pool of its own, on its own thread: nothing is shared, nothing migrates.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::upload::UpstreamBody;

/// What a connection must do within the time after an answer's end to be used again.
const SETTLE: Duration = Duration::from_secs(1);

/// Idle connections by address, the last used on top.
#[derive(Debug)]
pub struct Pool {
    idle: Mutex<HashMap<SocketAddr, Vec<Idle>>>,
    max_idle: usize,
    idle_for: Duration,
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<UpstreamBody>,
    since: Instant,
}

/// A connection in use.
#[derive(Debug)]
pub struct Lease {
    /// Sends one request.
    pub sender: SendRequest<UpstreamBody>,
    /// Whether it carried an exchange before: its upstream may have closed it meanwhile.
    pub reused: bool,
    address: SocketAddr,
    pool: Arc<Pool>,
}

impl Pool {
    /// Keeps up to `max_idle` connections an address, each for `idle_for`; shorter than upstreams keep theirs.
    #[must_use]
    pub fn new(max_idle: usize, idle_for: Duration) -> Arc<Self> {
        Arc::new(Self {
            idle: Mutex::default(),
            max_idle,
            idle_for,
        })
    }

    /// An idle connection used within `within`, if there is one.
    pub fn take(
        self: &Arc<Self>,
        address: SocketAddr,
        within: Duration,
        now: Instant,
    ) -> Option<Lease> {
        let mut idle = self.idle();
        let connections = idle.get_mut(&address)?;
        while let Some(Idle { sender, since }) = connections.pop() {
            if now.saturating_duration_since(since) > self.idle_for.min(within) {
                if within >= self.idle_for {
                    connections.clear();
                } else {
                    connections.push(Idle { sender, since });
                }
                return None;
            }
            if sender.is_ready() {
                return Some(Lease {
                    sender,
                    reused: true,
                    address,
                    pool: Arc::clone(self),
                });
            }
        }
        None
    }

    /// A new connection.
    ///
    /// # Errors
    /// What the system says; the caller bounds the time.
    pub async fn dial(self: &Arc<Self>, address: SocketAddr) -> std::io::Result<Lease> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let handshake = http1::Builder::new().handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(std::io::Error::other)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%address, error = &error as &dyn std::error::Error, "an upstream connection ended");
            }
        });
        Ok(Lease {
            sender,
            reused: false,
            address,
            pool: Arc::clone(self),
        })
    }

    /// Closes what idled for too long or was closed by its upstream.
    pub fn sweep(&self, now: Instant) {
        self.idle().retain(|_, connections| {
            connections.retain(|idle| {
                !idle.sender.is_closed()
                    && now.saturating_duration_since(idle.since) <= self.idle_for
            });
            !connections.is_empty()
        });
    }

    fn put(&self, address: SocketAddr, sender: SendRequest<UpstreamBody>) {
        let since = common::clock::now();
        let mut idle = self.idle();
        let connections = idle.entry(address).or_default();
        if connections.len() < self.max_idle {
            connections.push(Idle { sender, since });
        }
    }

    fn idle(&self) -> MutexGuard<'_, HashMap<SocketAddr, Vec<Idle>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// Gives the connection back after its answer's end. It may still be sending a request that was answered early: then it has a moment.
    pub fn give_back(mut self) {
        if self.sender.is_ready() {
            self.pool.put(self.address, self.sender);
        } else if !self.sender.is_closed() {
            tokio::spawn(async move {
                if let Ok(Ok(())) = tokio::time::timeout(SETTLE, self.sender.ready()).await {
                    self.pool.put(self.address, self.sender);
                }
            });
        }
    }
}
