//! What requests' and answers' bodies have in common: they are whole, or passed on as they come.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::pause::Pause;

/// What is wrong with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// The request's is longer than allowed.
    #[error("the body is longer than allowed")]
    TooLarge,
    /// No byte came for too long.
    #[error("the body stopped coming")]
    Slow,
    /// Its connection or its framing broke.
    #[error("the body was cut short")]
    Broken,
}

/// The data of a body as it comes. Trailers are left out: they were announced to this hop only.
#[derive(Debug)]
pub struct Pieces {
    incoming: Incoming,
    pause: Pause,
}

impl Pieces {
    /// `pause` is the longest silence between two pieces.
    #[must_use]
    pub fn new(incoming: Incoming, pause: Duration) -> Self {
        Self {
            incoming,
            pause: Pause::new(pause),
        }
    }

    /// The next piece; `None` at the end.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyFault>>> {
        loop {
            let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
                ready!(self.pause.poll_over(cx));
                return Poll::Ready(Some(Err(BodyFault::Slow)));
            };
            self.pause.end();
            match frame.map(|frame| frame.map(Frame::into_data)) {
                None => return Poll::Ready(None),
                Some(Err(_)) => return Poll::Ready(Some(Err(BodyFault::Broken))),
                Some(Ok(Err(_trailers))) => {}
                Some(Ok(Ok(data))) => return Poll::Ready(Some(Ok(data))),
            }
        }
    }

    /// Whether it is known that nothing more comes.
    #[must_use]
    pub fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    /// How much is still to come, as far as it was announced.
    #[must_use]
    pub fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// A body on its way out.
#[derive(Debug)]
pub enum Outbound<S> {
    /// All of it is here.
    Whole(Bytes),
    /// Passed on as it comes.
    Streamed(S),
}

impl<S> Body for Outbound<S>
where
    S: Body<Data = Bytes, Error = BodyFault> + Unpin,
{
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Streamed(stream) => Pin::new(stream).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Streamed(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Streamed(stream) => stream.size_hint(),
        }
    }
}
