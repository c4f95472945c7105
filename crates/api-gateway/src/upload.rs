//! Requests' bodies: limited, timed, kept for another try while small.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
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

/// Limits of a request's body.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// Bytes in all.
    pub max: usize,
    /// Bytes up to which it is kept for another try.
    pub keep: usize,
    /// The longest pause between two pieces.
    pub pause: Duration,
}

/// A request's body on its way to an upstream.
#[derive(Debug)]
pub enum UpstreamBody {
    /// Whole and small: can be sent again.
    Kept(Bytes),
    /// Passed on as it comes.
    Streamed(Box<Upload>),
}

impl UpstreamBody {
    /// Reads a body until it is known to be small, or not.
    ///
    /// # Errors
    /// [`BodyFault`]; the client's doing in every case.
    pub async fn receive(mut incoming: Incoming, limits: BodyLimits) -> Result<Self, BodyFault> {
        if incoming.is_end_stream() {
            return Ok(Self::Kept(Bytes::new()));
        }
        let announced = incoming.size_hint().exact();
        let mut begun = BytesMut::new();
        if announced.is_none_or(|length| length <= limits.keep as u64) {
            loop {
                let Ok(frame) = tokio::time::timeout(limits.pause, incoming.frame()).await else {
                    return Err(BodyFault::Slow);
                };
                match frame {
                    None => return Ok(Self::Kept(begun.freeze())),
                    Some(Err(_)) => return Err(BodyFault::Broken),
                    Some(Ok(frame)) => {
                        let Ok(data) = frame.into_data() else {
                            continue;
                        };
                        if begun.is_empty() && incoming.is_end_stream() && data.len() <= limits.max
                        {
                            return Ok(Self::Kept(data));
                        }
                        begun.extend_from_slice(&data);
                    }
                }
                if begun.len() > limits.max {
                    return Err(BodyFault::TooLarge);
                }
                if begun.len() > limits.keep {
                    break;
                }
            }
        }
        let left = limits.max - begun.len();
        let begun = (!begun.is_empty()).then(|| begun.freeze());
        Ok(Self::Streamed(Box::new(Upload {
            begun,
            rest: incoming,
            left,
            pause: Pause::new(limits.pause),
            progress: Arc::default(),
        })))
    }

    /// A copy for another try, when the body was kept.
    #[must_use]
    pub fn copy(&self) -> Option<Self> {
        match self {
            Self::Kept(bytes) => Some(Self::Kept(bytes.clone())),
            Self::Streamed(_) => None,
        }
    }

    /// How a streamed body fares, for those who gave it away.
    #[must_use]
    pub fn progress(&self) -> Option<Arc<Progress>> {
        match self {
            Self::Kept(_) => None,
            Self::Streamed(upload) => Some(Arc::clone(&upload.progress)),
        }
    }
}

/// How a streamed body fares.
#[derive(Debug, Default)]
pub struct Progress {
    fault: OnceLock<BodyFault>,
    ended: AtomicBool,
}

impl Progress {
    /// Why it failed, if it did.
    #[must_use]
    pub fn fault(&self) -> Option<BodyFault> {
        self.fault.get().copied()
    }

    /// Whether it was read to its end.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

/// A body too large to keep.
#[derive(Debug)]
pub struct Upload {
    begun: Option<Bytes>,
    rest: Incoming,
    left: usize,
    pause: Pause,
    progress: Arc<Progress>,
}

impl Upload {
    fn fail(&self, fault: BodyFault) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let _ = self.progress.fault.set(fault);
        Poll::Ready(Some(Err(fault)))
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        if let Some(begun) = self.begun.take() {
            return Poll::Ready(Some(Ok(Frame::data(begun))));
        }
        loop {
            let Poll::Ready(frame) = Pin::new(&mut self.rest).poll_frame(cx) else {
                ready!(self.pause.poll_over(cx));
                return self.fail(BodyFault::Slow);
            };
            self.pause.end();
            match frame {
                None => {
                    self.progress.ended.store(true, Ordering::Relaxed);
                    return Poll::Ready(None);
                }
                Some(Err(_)) => return self.fail(BodyFault::Broken),
                Some(Ok(frame)) => {
                    // Trailers were announced to this hop only.
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    let Some(left) = self.left.checked_sub(data.len()) else {
                        return self.fail(BodyFault::TooLarge);
                    };
                    self.left = left;
                    if self.rest.is_end_stream() {
                        self.progress.ended.store(true, Ordering::Relaxed);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
            }
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        match &mut *self {
            Self::Kept(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Kept(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Streamed(upload) => upload.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Kept(bytes) => bytes.is_empty(),
            Self::Streamed(upload) => upload.begun.is_none() && upload.rest.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Kept(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Streamed(upload) if upload.begun.is_none() => upload.rest.size_hint(),
            Self::Streamed(_) => SizeHint::default(),
        }
    }
}
