//! A TCP proxy that breaks connections in the ways networks and servers do.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::free_address;

/// Where the proxy forwards to.
#[derive(Debug, Clone)]
pub enum Upstream {
    /// A TCP server.
    Tcp(SocketAddr),
    /// A server on a unix socket.
    Unix(PathBuf),
}

impl From<SocketAddr> for Upstream {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

/// What happens to connections from now on, open ones included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Bytes pass both ways.
    Forward,
    /// New connections are refused; open ones are closed.
    Refuse,
    /// Every chunk waits this long, either way.
    Delay(Duration),
    /// After this many bytes of answers on a connection the rest is swallowed, and the connection stays open.
    Blackhole {
        /// Bytes of answers that still pass, counted from the connection's start.
        after: usize,
    },
    /// After this many bytes of answers the connection is closed.
    CutAfter(
        /// Bytes of answers that still pass, counted from the connection's start.
        usize,
    ),
}

/// A proxy on an address of its own. It ends when dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    /// Counts calls of [`Self::cut`]; a change closes every open connection.
    cuts: watch::Sender<u64>,
    listening: watch::Receiver<bool>,
    task: AbortHandle,
}

impl FaultProxy {
    /// Starts forwarding to `upstream`.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(upstream: impl Into<Upstream>) -> Result<Self> {
        let address = free_address();
        let (mode, modes) = watch::channel(Mode::Forward);
        let (cuts, cut) = watch::channel(0);
        let (state, listening) = watch::channel(false);
        let task = tokio::spawn(accept(address, upstream.into(), modes, cut, state)).abort_handle();
        let mut proxy = Self {
            address,
            mode,
            cuts,
            listening,
            task,
        };
        proxy.settle(true).await?;
        Ok(proxy)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what happens to connections; done when it returns.
    ///
    /// # Errors
    /// When it cannot listen again after [`Mode::Refuse`].
    pub async fn set(&mut self, mode: Mode) -> Result<()> {
        self.mode.send_replace(mode);
        self.settle(mode != Mode::Refuse).await?;
        if mode == Mode::Refuse {
            self.cut();
        }
        Ok(())
    }

    /// Closes every open connection; new ones are still taken.
    pub fn cut(&self) {
        self.cuts.send_modify(|count| *count += 1);
    }

    async fn settle(&mut self, listening: bool) -> Result<()> {
        self.listening.wait_for(|now| *now == listening).await?;
        Ok(())
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Listens while the mode is not [`Mode::Refuse`]; the connections' tasks end with this one.
async fn accept(
    address: SocketAddr,
    upstream: Upstream,
    mut modes: watch::Receiver<Mode>,
    cuts: watch::Receiver<u64>,
    listening: watch::Sender<bool>,
) -> Result<()> {
    let mut connections = JoinSet::new();
    let followed = modes.clone();
    loop {
        modes.wait_for(|mode| *mode != Mode::Refuse).await?;
        let listener = TcpListener::bind(address).await?;
        listening.send_replace(true);
        loop {
            tokio::select! {
                biased;
                refused = modes.wait_for(|mode| *mode == Mode::Refuse) => { refused?; break; }
                Ok((client, _)) = listener.accept() => {
                    connections.spawn(connection(client, upstream.clone(), followed.clone(), cuts.clone()));
                }
                Some(_) = connections.join_next() => {}
            }
        }
        drop(listener);
        listening.send_replace(false);
    }
}

async fn connection(
    client: TcpStream,
    upstream: Upstream,
    modes: watch::Receiver<Mode>,
    mut cuts: watch::Receiver<u64>,
) {
    cuts.mark_unchanged();
    let forwarding = async {
        match upstream {
            Upstream::Tcp(address) => {
                forward(client, TcpStream::connect(address).await?, modes).await
            }
            Upstream::Unix(path) => forward(client, UnixStream::connect(path).await?, modes).await,
        }
    };
    // Whatever ends first drops both sockets, which is all a peer sees of any fault.
    tokio::select! {
        _ = forwarding => {}
        _ = cuts.changed() => {}
    }
}

async fn forward(
    client: TcpStream,
    server: impl AsyncRead + AsyncWrite,
    modes: watch::Receiver<Mode>,
) -> Result<()> {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = tokio::io::split(server);
    tokio::try_join!(
        pump(from_client, to_server, modes.clone(), false),
        pump(from_server, to_client, modes, true)
    )?;
    Ok(())
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    modes: watch::Receiver<Mode>,
    answers: bool,
) -> Result<()> {
    let mut chunk = vec![0; 64 * 1024];
    let mut passed = 0;
    loop {
        let length = from.read(&mut chunk).await?;
        if length == 0 {
            return Ok(to.shutdown().await?);
        }
        let mode = *modes.borrow();
        let allowed = match mode {
            Mode::Blackhole { after } | Mode::CutAfter(after) if answers => {
                length.min(after.saturating_sub(passed))
            }
            Mode::Delay(pause) => {
                tokio::time::sleep(pause).await;
                length
            }
            _ => length,
        };
        passed += length;
        to.write_all(&chunk[..allowed]).await?;
        if allowed < length && matches!(mode, Mode::CutAfter(_)) {
            to.flush().await?;
            anyhow::bail!("cut");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Redis;

    async fn ping(address: SocketAddr) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"PING\r\n").await?;
        read(&mut stream).await
    }

    async fn read(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n") && stream.read_buf(&mut answer).await? > 0 {}
        Ok(answer)
    }

    #[tokio::test]
    async fn every_fault_is_what_its_name_says() {
        let redis = Redis::start().await.unwrap();
        let mut proxy = FaultProxy::start(redis.address()).await.unwrap();
        assert_eq!(ping(proxy.address()).await.unwrap(), b"+PONG\r\n");

        let mut open = TcpStream::connect(proxy.address()).await.unwrap();
        open.write_all(b"PING\r\n").await.unwrap();
        assert_eq!(read(&mut open).await.unwrap(), b"+PONG\r\n");
        proxy.set(Mode::Refuse).await.unwrap();
        assert!(
            read(&mut open).await.is_ok_and(|rest| rest.is_empty()),
            "an open connection is closed"
        );
        let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);

        proxy.set(Mode::CutAfter(3)).await.unwrap();
        assert_eq!(ping(proxy.address()).await.unwrap(), b"+PO");

        proxy.set(Mode::Blackhole { after: 2 }).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        stream.write_all(b"PING\r\n").await.unwrap();
        let mut two = [0; 2];
        stream.read_exact(&mut two).await.unwrap();
        let more = tokio::time::timeout(Duration::from_millis(20), stream.read_u8()).await;
        assert!(more.is_err(), "open and silent");

        proxy.set(Mode::Forward).await.unwrap();
        assert_eq!(ping(proxy.address()).await.unwrap(), b"+PONG\r\n");
    }
}
