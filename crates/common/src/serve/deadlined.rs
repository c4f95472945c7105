//! A connection's stream: deadlines for the client, in both directions and at the end.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::Limits;
use super::connection::Requests;
use crate::clock;

/// The longest that the end of a connection waits for the client to stop sending, in all and between two pieces.
const LINGER: Duration = Duration::from_secs(5);
const LINGER_QUIET: Duration = Duration::from_millis(500);

/// A stream whose reads fail when, between requests, nothing or only half a head arrives for too long, and whose writes fail
/// when the client takes nothing of an answer for as long.
pub(super) struct Deadlined {
    inner: TokioIo<TcpStream>,
    requests: Arc<Requests>,
    /// `requests.begun` at the last read: a later one means that the deadline belongs to an earlier head.
    seen: usize,
    limits: Limits,
    head_begun: bool,
    armed: bool,
    deadline: Pin<Box<Sleep>>,
    /// Runs while a write waits for the client to read.
    stalled: Option<Pin<Box<Sleep>>>,
    lingering: Option<Lingering>,
}

impl Deadlined {
    pub(super) fn new(stream: TcpStream, requests: Arc<Requests>, limits: Limits) -> Self {
        Self {
            inner: TokioIo::new(stream),
            requests,
            seen: 0,
            limits,
            head_begun: false,
            armed: false,
            deadline: Box::pin(tokio::time::sleep(limits.idle)),
            stalled: None,
            lingering: None,
        }
    }

    /// What became of a write, given that the client may be waited for only so long.
    fn written<T>(
        &mut self,
        outcome: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let idle = self.limits.idle;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn arm(&mut self, deadline: Instant) {
        self.deadline.as_mut().reset(deadline);
        self.armed = true;
    }

    /// Whether a request is in flight; forgets a deadline that was an earlier head's.
    fn is_busy(&mut self) -> bool {
        let begun = self.requests.begun.load(Ordering::Relaxed);
        if begun != self.seen {
            (self.seen, self.head_begun, self.armed) = (begun, false, false);
        }
        begun != self.requests.ended.load(Ordering::Relaxed)
    }

    /// Ready when the deadline has passed; begins it if it is not running.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.armed {
            let deadline = clock::now() + self.limits.idle;
            self.arm(deadline);
        }
        self.deadline.as_mut().poll(context)
    }
}

impl Read for Deadlined {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let busy = self.is_busy();
        match Pin::new(&mut self.inner).poll_read(context, buffer) {
            Poll::Ready(result) => {
                if !busy && !self.head_begun {
                    self.head_begun = true;
                    let deadline = clock::now() + self.limits.header_read;
                    self.arm(deadline);
                }
                Poll::Ready(result)
            }
            Poll::Pending if busy => Poll::Pending,
            Poll::Pending => {
                ready!(self.poll_deadline(context));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl Write for Deadlined {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write(context, buffer);
        self.written(outcome, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(context);
        // After an answer hyper waits for the read that was already pending while the request was in flight, and does not
        // read again: the idle deadline has to begin here. Its timer wakes hyper, which then reads, and fails.
        if flushed.is_ready() && !self.is_busy() {
            let _ = self.poll_deadline(context);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.inner).poll_shutdown(context))?;
        }
        let lingering = this.lingering.get_or_insert_with(Lingering::begin);
        lingering.poll(this.inner.inner_mut(), context).map(Ok)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(context, buffers);
        self.written(outcome, context)
    }
}

/// The end of a connection whose client may still be sending: what it was refused (a body too large, endless headers) is read
/// and thrown away, because a socket closed with bytes unread sends a reset, which overtakes the answer that says why (RFC 9112,
/// section 9.6).
struct Lingering {
    until: Instant,
    quiet: Pin<Box<Sleep>>,
}

impl Lingering {
    fn begin() -> Self {
        Self {
            until: clock::now() + LINGER,
            quiet: Box::pin(tokio::time::sleep(LINGER_QUIET)),
        }
    }

    /// Ready when the client has ended its side, or was waited for long enough.
    fn poll(&mut self, stream: &mut TcpStream, context: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    let now = clock::now();
                    if now >= self.until {
                        return Poll::Ready(());
                    }
                    let quiet = self.until.min(now + LINGER_QUIET);
                    self.quiet.as_mut().reset(quiet);
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.quiet.as_mut().poll(context),
            }
        }
    }
}
