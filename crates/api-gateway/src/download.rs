//! Answers' bodies: the gateway's own, or an upstream's, streamed as it comes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::endpoint::InFlight;
use crate::pause::Pause;
use crate::pool::Lease;
use crate::upload::BodyFault;

/// An answer's body on its way to the client.
#[derive(Debug)]
pub enum ClientBody {
    /// The gateway's own.
    Whole(Bytes),
    /// An upstream's, passed on as it comes.
    Streamed(Download),
}

/// An upstream's answer under way: holds its place in flight and its connection, and gives both back at its end. Dropped before the end
/// (the client left), it takes the connection with it, which tells the upstream to stop.
#[derive(Debug)]
pub struct Download {
    incoming: Incoming,
    pause: Pause,
    held: Option<(InFlight, Lease)>,
}

impl Download {
    /// `pause` is the longest silence of the upstream between two pieces.
    #[must_use]
    pub fn new(incoming: Incoming, in_flight: InFlight, lease: Lease, pause: Duration) -> Self {
        let mut download = Self {
            incoming,
            pause: Pause::new(pause),
            held: Some((in_flight, lease)),
        };
        if download.incoming.is_end_stream() {
            download.release();
        }
        download
    }

    fn release(&mut self) {
        if let Some((_, lease)) = self.held.take() {
            lease.give_back();
        }
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        loop {
            let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
                ready!(self.pause.poll_over(cx));
                return Poll::Ready(Some(Err(BodyFault::Slow)));
            };
            self.pause.end();
            match frame {
                None => {
                    self.release();
                    return Poll::Ready(None);
                }
                Some(Err(_)) => return Poll::Ready(Some(Err(BodyFault::Broken))),
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    if self.incoming.is_end_stream() {
                        self.release();
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
            }
        }
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Streamed(download) => download.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Streamed(download) => download.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Streamed(download) => download.incoming.size_hint(),
        }
    }
}
