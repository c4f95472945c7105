//! Serving HTTP/1.1 with limits that `axum::serve` does not have: a deadline for a request's headers (slowloris), one for
//! idle connections, bounded headers and connections, and a polite end.
//!
//! [`serve_listener`] serves one listener on the current runtime, of either flavour: a thread-per-core server calls it
//! once per thread with sockets bound by [`bind_reuse_port`]. Any tower service will do: an axum `Router`, or a
//! `tower::service_fn` over `Request<Incoming>` with a streaming body.

mod bind;
mod connection;
mod deadlined;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::Service;

pub(crate) use self::bind::local_addresses;
pub use self::bind::{BindError, bind, bind_reuse_port, resolve};
pub use self::connection::serve_connection;
use crate::config::HttpConfig;
use crate::lifecycle::Shutdown;

/// What a connection may take. From [`HttpConfig`].
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From a request's first byte to the end of its headers.
    pub header_read: Duration,
    /// Without a request.
    pub idle: Duration,
    /// Requests in flight, once closing.
    pub drain: Duration,
    /// Header fields.
    pub max_headers: usize,
    /// Request line and headers, bytes.
    pub max_header_bytes: usize,
    /// Open connections per listener.
    pub max_connections: usize,
}

impl From<&HttpConfig> for Limits {
    fn from(config: &HttpConfig) -> Self {
        Self {
            header_read: config.header_read_ms,
            idle: config.idle_ms,
            drain: config.drain_ms,
            max_headers: config.max_headers,
            max_header_bytes: config.max_header_bytes,
            max_connections: config.max_connections,
        }
    }
}

/// The client's address, in every request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Serves one listener until `shutdown` closes it, then lets requests in flight finish within `limits.drain`. Returns when
/// every connection has ended. Once the shutdown has begun, every answer ends its connection, so that clients that keep theirs
/// look for another server before this one hangs up on them.
pub async fn serve_listener<S, B>(
    listener: TcpListener,
    service: S,
    limits: Limits,
    shutdown: Shutdown,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    accept_loop(listener, limits, shutdown, move |stream, peer, stop| {
        tokio::spawn(serve_permitted(stream, peer, service.clone(), limits, stop));
    })
    .await;
}

/// The same for services that cannot leave their thread (a connection pool per thread): on a `LocalSet`, or in a
/// current-thread runtime's `LocalRuntime`.
pub async fn serve_listener_local<S, B>(
    listener: TcpListener,
    service: S,
    limits: Limits,
    shutdown: Shutdown,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + 'static,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    accept_loop(listener, limits, shutdown, move |stream, peer, stop| {
        tokio::task::spawn_local(serve_permitted(stream, peer, service.clone(), limits, stop));
    })
    .await;
}

/// Serves several listeners with one service.
pub async fn serve<S, B>(
    listeners: Vec<std::net::TcpListener>,
    service: S,
    limits: Limits,
    shutdown: Shutdown,
) -> std::io::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let mut tasks = tokio::task::JoinSet::new();
    for listener in listeners {
        let listener = TcpListener::from_std(listener)?;
        tasks.spawn(serve_listener(
            listener,
            service.clone(),
            limits,
            shutdown.clone(),
        ));
    }
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }
    Ok(())
}

/// One connection, which gives its permit back at its end.
async fn serve_permitted<S, B>(
    stream: TcpStream,
    peer: Peer,
    service: S,
    limits: Limits,
    stop: Stop,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    let Stop {
        shutdown,
        abort,
        permit,
    } = stop;
    serve_connection(stream, peer, service, limits, shutdown, abort).await;
    drop(permit);
}

struct Stop {
    shutdown: Shutdown,
    abort: CancellationToken,
    permit: tokio::sync::OwnedSemaphorePermit,
}

async fn accept_loop(
    listener: TcpListener,
    limits: Limits,
    shutdown: Shutdown,
    mut spawn: impl FnMut(TcpStream, Peer, Stop),
) {
    let permits = u32::try_from(limits.max_connections)
        .unwrap_or(u32::MAX >> 4)
        .min(u32::MAX >> 4);
    let connections = Arc::new(Semaphore::new(permits as usize));
    let abort = CancellationToken::new();
    let mut start = |stream: TcpStream, peer, permit| {
        // Answers are written whole; waiting to coalesce them only adds delay.
        let _ = stream.set_nodelay(true);
        spawn(
            stream,
            Peer(peer),
            Stop {
                shutdown: shutdown.clone(),
                abort: abort.clone(),
                permit,
            },
        );
    };
    loop {
        let permit = tokio::select! {
            biased;
            () = shutdown.closing() => break,
            permit = Arc::clone(&connections).acquire_owned() => permit.expect("this semaphore is never closed"),
        };
        tokio::select! {
            biased;
            () = shutdown.closing() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => start(stream, peer, permit),
                Err(error) => pause_after(&error).await,
            },
        }
    }
    // What the kernel had accepted for us would be reset with the listener: serve it once.
    while let Ok(permit) = Arc::clone(&connections).try_acquire_owned() {
        match futures_util::FutureExt::now_or_never(listener.accept()) {
            Some(Ok((stream, peer))) => start(stream, peer, permit),
            _ => break,
        }
    }
    drop(listener);
    let ended = connections.acquire_many(permits);
    if tokio::time::timeout(limits.drain, ended).await.is_err() {
        tracing::warn!("requests in flight did not finish in time: cutting them off");
        abort.cancel();
        let _ = connections.acquire_many(permits).await;
    }
}

/// Errors of one connection (reset before we took it) cost nothing; out of file descriptors needs a breath.
async fn pause_after(error: &std::io::Error) {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    if !matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted
    ) {
        tracing::warn!(%error, "cannot accept connections");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[cfg(test)]
mod tests;
