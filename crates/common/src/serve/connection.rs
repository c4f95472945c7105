//! One connection: hyper, our deadlines, a polite end.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use pin_project_lite::pin_project;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt};

use super::{BoxError, Limits, Peer};
use crate::clock;
use crate::problem::{Problem, Slug};

/// Serves one accepted connection to its end: until the client leaves, a deadline passes, `closing` (the request in
/// flight is finished) or `abort` (it is not).
pub async fn serve_connection<S, B>(
    stream: TcpStream,
    peer: Peer,
    service: S,
    limits: Limits,
    closing: CancellationToken,
    abort: CancellationToken,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    let requests = Arc::new(Requests::default());
    let io = Deadlined {
        inner: TokioIo::new(stream),
        requests: Arc::clone(&requests),
        seen: 0,
        limits,
        head_begun: false,
        armed: false,
        deadline: Box::pin(tokio::time::sleep(limits.idle)),
        stalled: None,
    };
    let handler = service_fn(move |mut request: Request<Incoming>| {
        let guard = InFlight::enter(&requests);
        request.extensions_mut().insert(peer);
        let service = service.clone();
        async move {
            if request.headers().len() > limits.max_headers {
                let refusal = Problem::new(Slug::HeadersTooLarge).to_response(None);
                return Ok(refusal.map(|body| guard.over(Either::Right(Full::new(body)))));
            }
            let response = service.oneshot(request).await?;
            Ok::<_, Infallible>(response.map(|body| guard.over(Either::Left(body))))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .half_close(false)
        .max_buf_size(limits.max_header_bytes)
        .keep_alive(!closing.is_cancelled())
        .serve_connection(io, handler);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                biased;
                ended = connection => ended,
                () = abort.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        // Clients that go away or are cut off by a deadline are their own affair.
        tracing::debug!(%error, peer = %peer.0, "connection ended");
    }
}

/// How many requests this connection has begun and ended.
#[derive(Default)]
struct Requests {
    begun: AtomicUsize,
    ended: AtomicUsize,
}

/// A request in flight, until the answer's body is written or dropped.
struct InFlight(Arc<Requests>);

impl InFlight {
    fn enter(requests: &Arc<Requests>) -> Self {
        requests.begun.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(requests))
    }

    fn over<B>(self, body: B) -> Guarded<B> {
        Guarded {
            body,
            _in_flight: self,
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

pin_project! {
    struct Guarded<B> {
        #[pin]
        body: B,
        _in_flight: InFlight,
    }
}

impl<B: Body<Data = Bytes>> Body for Guarded<Either<B, Full<Bytes>>>
where
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.project().body.poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream whose reads fail when, between requests, nothing or only half a head arrives for too long, and whose writes fail
/// when the client takes nothing of an answer for as long.
struct Deadlined {
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
}

impl Deadlined {
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
        Pin::new(&mut self.inner).poll_shutdown(context)
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
