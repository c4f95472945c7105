//! A thread per core: each worker has its own listeners on the same addresses (`SO_REUSEPORT`), a single-threaded runtime and its own
//! connections to upstreams, so that a request never changes threads.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use common::config::HttpConfig;
use common::lifecycle::Shutdown;
use common::serve::{self, Limits};
use tokio::sync::mpsc;

use crate::gateway::Gateway;
use crate::pool::Pool;
use crate::state::Shared;

/// How often idle connections are looked through.
const SWEEP: Duration = Duration::from_secs(5);

/// Running workers.
#[derive(Debug)]
pub struct Workers {
    addresses: Vec<SocketAddr>,
    /// Closed when the last worker has ended.
    ended: mpsc::Receiver<()>,
}

impl Workers {
    /// Opens `addresses` once for every worker and starts `count` of them. They end when `shutdown` closes, when their requests have.
    ///
    /// # Errors
    /// When an address is taken, or a thread cannot be started.
    pub fn start(
        addresses: &[SocketAddr],
        count: usize,
        shared: &Arc<Shared>,
        http: &HttpConfig,
        shutdown: &Shutdown,
    ) -> io::Result<Self> {
        let addresses = claim(addresses)?;
        // The gateway refuses what exceeds the configured limits, with a problem; what exceeds these, hyper refuses without one.
        let limits = Limits {
            max_headers: 100,
            max_header_bytes: 2 * http.max_header_bytes,
            ..Limits::from(http)
        };
        let (running, ended) = mpsc::channel(1);
        for number in 0..count.max(1) {
            let listeners = addresses
                .iter()
                .map(|address| serve::bind_reuse_port(*address).map_err(io::Error::other))
                .collect::<io::Result<Vec<_>>>()?;
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let (shared, shutdown, running) =
                (Arc::clone(shared), shutdown.clone(), running.clone());
            thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || {
                    if let Err(error) = runtime.block_on(work(listeners, shared, limits, shutdown))
                    {
                        tracing::error!(%error, number, "a worker ended early");
                    }
                    drop(running);
                })?;
        }
        Ok(Self { addresses, ended })
    }

    /// Where they listen; ports are the real ones.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Waits until every worker has ended.
    pub async fn ended(&mut self) {
        while self.ended.recv().await.is_some() {}
    }
}

/// How many workers to start: as configured, else one for each processor that the process may use.
#[must_use]
pub fn count(configured: Option<usize>) -> usize {
    configured
        .or_else(|| thread::available_parallelism().ok().map(usize::from))
        .unwrap_or(1)
}

/// Learns whether somebody else has the addresses, which `SO_REUSEPORT` alone would hide, and settles port 0.
fn claim(addresses: &[SocketAddr]) -> io::Result<Vec<SocketAddr>> {
    let alone = serve::bind(addresses).map_err(io::Error::other)?;
    alone.iter().map(TcpListener::local_addr).collect()
}

async fn work(
    listeners: Vec<TcpListener>,
    shared: Arc<Shared>,
    limits: Limits,
    shutdown: Shutdown,
) -> io::Result<()> {
    let upstream = &shared.config.upstream;
    let pool = Pool::new(upstream.max_idle, upstream.idle_ms);
    let gateway = Gateway::new(Arc::clone(&shared), Arc::clone(&pool));
    let sweeping = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(SWEEP);
        loop {
            pool.sweep(ticks.tick().await);
        }
    });
    let served = serve::serve(listeners, gateway, limits, shutdown).await;
    sweeping.abort();
    served
}
