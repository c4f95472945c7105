//! Published ports: connections accepted on the host are dialled on from inside a namespace.
//!
//! A socket belongs to the namespace in which it was made, for good. The listeners were opened by the launcher, in the host's
//! network, before it entered the lab; the sockets that dial are made by a thread that sits in the target namespace and keeps a few
//! ready, so that a connection costs no hop between threads. Everything else is ordinary async code.

use std::io;
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream as TokioStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::namespace::NetNamespace;

/// Sockets made ahead of need.
const READY: usize = 32;
/// Connections that one relay carries at once; more wait in the listener's backlog.
const CONNECTIONS: usize = 4096;
/// Bytes buffered in each direction of a connection.
const BUFFER: usize = 16 * 1024;
/// How long a connection may take to be dialled on before the caller is reset.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may go on sending what nobody reads, after it has been answered.
const READ_AWAY: Duration = Duration::from_secs(1);
/// Pause after the host could not accept (no descriptors left), so that the relay does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where a relay dials: from inside a namespace, an address as seen from there.
#[derive(Debug)]
pub struct Upstream {
    /// The namespace.
    pub namespace: NetNamespace,
    /// The address.
    pub address: SocketAddrV4,
}

/// A running relay. Stops accepting, and closes what it carries, when dropped.
#[derive(Debug)]
pub struct Relay {
    task: JoinHandle<()>,
    local: SocketAddr,
    dialers: Arc<Dialers>,
}

/// Where connections are dialled on, in turn.
#[derive(Debug, Default)]
struct Dialers {
    all: Mutex<Vec<Arc<Dialer>>>,
    turn: AtomicUsize,
}

impl Dialers {
    fn lead(&self, upstreams: Vec<Upstream>) -> io::Result<()> {
        let dialers = upstreams
            .into_iter()
            .map(|upstream| Dialer::start(upstream.namespace, upstream.address).map(Arc::new))
            .collect::<io::Result<Vec<_>>>()?;
        *self.all.lock().unwrap_or_else(PoisonError::into_inner) = dialers;
        Ok(())
    }

    /// Whose turn it is; `None` when there is nobody.
    fn next(&self) -> Option<Arc<Dialer>> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        all.get(turn.checked_rem(all.len())?).cloned()
    }
}

impl Relay {
    /// Carries what `listener` accepts to the `upstreams` in turn. To be called within a tokio runtime.
    ///
    /// A connection that cannot be dialled on is reset, so that the caller sees a refusal and not an empty answer.
    ///
    /// # Errors
    /// When the listener is not usable or a namespace cannot be entered.
    pub fn start(listener: TcpListener, upstreams: Vec<Upstream>) -> io::Result<Self> {
        let local = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let dialers = Arc::new(Dialers::default());
        dialers.lead(upstreams)?;
        Ok(Self {
            task: tokio::spawn(serve(listener, Arc::clone(&dialers))),
            local,
            dialers,
        })
    }

    /// Carries what it accepts from now on to these `upstreams` in turn; what it carries already goes on. Without any, whoever connects
    /// is reset.
    ///
    /// # Errors
    /// When a namespace cannot be entered; nothing changes then.
    pub fn lead(&self, upstreams: Vec<Upstream>) -> io::Result<()> {
        self.dialers.lead(upstreams)
    }

    /// The host address it listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: tokio::net::TcpListener, dialers: Arc<Dialers>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    // Owns the connections: they end with this task.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return; // the semaphore is never closed
        };
        let client = match listener.accept().await {
            Ok((client, _)) => client,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        let Some(dialer) = dialers.next() else {
            let _ = client.set_zero_linger(); // the connection is gone already
            continue;
        };
        connections.spawn(async move {
            carry(client, &dialer).await;
            drop(permit);
        });
    }
}

/// Dials on and copies both ways. An end of stream is passed on as such (each direction closes for itself); a failure resets
/// both sides.
async fn carry(mut client: TokioStream, dialer: &Dialer) {
    let dialled = tokio::time::timeout(DIAL_TIMEOUT, dialer.dial()).await;
    let mut upstream = match dialled.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(upstream) => upstream,
        Err(error) => {
            tracing::debug!(%error, address = %dialer.address, "cannot dial on");
            let _ = client.set_zero_linger(); // the connection is gone already
            return;
        }
    };
    // Small answers must not wait for an acknowledgement (RFC 896); a socket that refuses is merely slower.
    let _ = client.set_nodelay(true);
    let _ = upstream.set_nodelay(true);
    if copy(&mut client, &mut upstream).await.is_err() {
        let _ = client.set_zero_linger();
        let _ = upstream.set_zero_linger();
    }
}

/// Copies both ways until both streams have ended.
///
/// A server may answer a request that it will not read to its end, and close: its answer still has to arrive. So what the client
/// goes on sending is read away then, until it ends or [`READ_AWAY`] has passed.
async fn copy(client: &mut TokioStream, upstream: &mut TokioStream) -> io::Result<()> {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_upstream, mut to_upstream) = upstream.split();
    let (refused, answered) = (AtomicBool::new(false), AtomicBool::new(false));
    let up = async {
        let mut buffer = vec![0; BUFFER];
        loop {
            let length = from_client.read(&mut buffer).await?;
            if length == 0 {
                let _ = to_upstream.shutdown().await; // a server that is gone knows already
                return Ok(());
            }
            if !refused.load(Ordering::Relaxed)
                && let Err(error) = to_upstream.write_all(&buffer[..length]).await
            {
                refused.store(true, Ordering::Relaxed);
                if answered.load(Ordering::Relaxed) {
                    return Err(error);
                }
            }
        }
    };
    let down = async {
        let mut buffer = vec![0; BUFFER];
        loop {
            let length = from_upstream.read(&mut buffer).await?;
            if length == 0 {
                answered.store(true, Ordering::Relaxed);
                return to_client.shutdown().await;
            }
            to_client.write_all(&buffer[..length]).await?;
        }
    };
    let (mut up, mut down) = (pin!(up), pin!(down));
    tokio::select! {
        sent = &mut up => {
            sent?;
            down.await
        }
        received = &mut down => {
            received?;
            if refused.load(Ordering::Relaxed) {
                return tokio::time::timeout(READ_AWAY, up).await.unwrap_or(Ok(()));
            }
            up.await
        }
    }
}

/// Sockets of one namespace, made by a thread that stays there.
#[derive(Debug)]
struct Dialer {
    sockets: tokio::sync::Mutex<mpsc::Receiver<io::Result<TcpStream>>>,
    address: SocketAddrV4,
}

impl Dialer {
    fn start(namespace: NetNamespace, address: SocketAddrV4) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel(READY);
        let (entered, answer) = std::sync::mpsc::sync_channel(1);
        thread::Builder::new()
            .name("relay-sockets".into())
            .spawn(move || {
                let enter = move_into(namespace.as_fd());
                let inside = enter.is_ok();
                // The receiver waits for exactly this answer.
                let _ = entered.send(enter);
                // Ends when the relay is gone and its receiver with it.
                while inside && sender.blocking_send(new_socket()).is_ok() {}
            })?;
        answer
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("the relay's thread ended")))?;
        Ok(Self {
            sockets: tokio::sync::Mutex::new(receiver),
            address,
        })
    }

    async fn dial(&self) -> io::Result<TokioStream> {
        let socket = self.sockets.lock().await.recv().await;
        let socket = socket.unwrap_or_else(|| Err(io::ErrorKind::BrokenPipe.into()))?;
        TcpSocket::from_std_stream(socket)
            .connect(self.address.into())
            .await
    }
}

fn move_into(namespace: BorrowedFd<'_>) -> io::Result<()> {
    Ok(setns(namespace, CloneFlags::CLONE_NEWNET)?)
}

/// A TCP socket of the calling thread's namespace, not connected yet.
fn new_socket() -> io::Result<TcpStream> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    Ok(socket(AddressFamily::Inet, SockType::Stream, flags, None)?.into())
}
