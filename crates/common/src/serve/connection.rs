//! One connection: hyper, our deadlines, a polite end.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use pin_project_lite::pin_project;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt};

use super::deadlined::Deadlined;
use super::{BoxError, Limits, Peer};
use crate::lifecycle::Shutdown;
use crate::problem::{Problem, Slug};

/// Who has connected a moment before the door closes is about to ask, and would take being hung up on for a failure.
const FIRST_REQUEST: Duration = Duration::from_millis(500);

/// Serves one accepted connection to its end: until the client leaves, a deadline passes, `shutdown` begins (the next answer
/// is the last) or closes (the request in flight is finished), or `abort` (it is not).
pub async fn serve_connection<S, B>(
    stream: TcpStream,
    peer: Peer,
    service: S,
    limits: Limits,
    shutdown: Shutdown,
    abort: CancellationToken,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    let requests = Arc::new(Requests::default());
    let asked = Arc::clone(&requests);
    let io = Deadlined::new(stream, Arc::clone(&requests), limits);
    let ending = shutdown.clone();
    let handler = service_fn(move |mut request: Request<Incoming>| {
        let ending = ending.clone();
        let guard = InFlight::enter(&requests);
        request.extensions_mut().insert(peer);
        let service = service.clone();
        async move {
            if request.headers().len() > limits.max_headers {
                let refusal = Problem::new(Slug::HeadersTooLarge).to_response(None);
                return Ok(refusal.map(|body| guard.over(Either::Right(Full::new(body)))));
            }
            let mut response = service.oneshot(request).await?;
            if ending.is_begun() {
                let last = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, last);
            }
            Ok::<_, Infallible>(response.map(|body| guard.over(Either::Left(body))))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .half_close(false)
        .max_buf_size(limits.max_header_bytes)
        .keep_alive(!shutdown.is_begun())
        .serve_connection(io, handler);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = shutdown.closing() => {
            let fresh = async {
                if asked.begun.load(Ordering::Relaxed) == 0 {
                    tokio::time::sleep(FIRST_REQUEST).await;
                }
            };
            tokio::select! {
                biased;
                ended = connection.as_mut() => ended,
                () = abort.cancelled() => return,
                () = fresh => {
                    connection.as_mut().graceful_shutdown();
                    tokio::select! {
                        biased;
                        ended = connection => ended,
                        () = abort.cancelled() => return,
                    }
                }
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
pub(super) struct Requests {
    pub(super) begun: AtomicUsize,
    pub(super) ended: AtomicUsize,
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
