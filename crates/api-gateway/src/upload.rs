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

use crate::body::{BodyFault, Outbound, Pieces};

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

/// A request's body on its way to an upstream; whole, it is small and can be sent again.
pub type UpstreamBody = Outbound<Box<Upload>>;

impl UpstreamBody {
    /// Reads a body until it is known to be small, or not.
    ///
    /// # Errors
    /// [`BodyFault`]; the client's doing in every case.
    pub async fn receive(mut incoming: Incoming, limits: BodyLimits) -> Result<Self, BodyFault> {
        if incoming.is_end_stream() {
            return Ok(Self::Whole(Bytes::new()));
        }
        let announced = incoming.size_hint().exact();
        let mut begun = BytesMut::new();
        if announced.is_none_or(|length| length <= limits.keep as u64) {
            loop {
                let Ok(frame) = tokio::time::timeout(limits.pause, incoming.frame()).await else {
                    return Err(BodyFault::Slow);
                };
                match frame {
                    None => return Ok(Self::Whole(begun.freeze())),
                    Some(Err(_)) => return Err(BodyFault::Broken),
                    Some(Ok(frame)) => {
                        let Ok(data) = frame.into_data() else {
                            continue;
                        };
                        if begun.is_empty() && incoming.is_end_stream() && data.len() <= limits.max
                        {
                            return Ok(Self::Whole(data));
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
            rest: Pieces::new(incoming, limits.pause),
            left,
            progress: Arc::default(),
        })))
    }

    /// A copy for another try, when the body was kept.
    #[must_use]
    pub fn copy(&self) -> Option<Self> {
        match self {
            Self::Whole(bytes) => Some(Self::Whole(bytes.clone())),
            Self::Streamed(_) => None,
        }
    }

    /// How a streamed body fares, for those who gave it away.
    #[must_use]
    pub fn progress(&self) -> Option<Arc<Progress>> {
        match self {
            Self::Whole(_) => None,
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
    rest: Pieces,
    left: usize,
    progress: Arc<Progress>,
}

impl Upload {
    fn next(
        &mut self,
        piece: Option<Result<Bytes, BodyFault>>,
    ) -> Result<Option<Bytes>, BodyFault> {
        let piece = piece.transpose()?;
        if let Some(data) = &piece {
            self.left = self
                .left
                .checked_sub(data.len())
                .ok_or(BodyFault::TooLarge)?;
        }
        if piece.is_none() || self.rest.is_end_stream() {
            self.progress.ended.store(true, Ordering::Relaxed);
        }
        Ok(piece)
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        if let Some(begun) = self.begun.take() {
            return Poll::Ready(Some(Ok(Frame::data(begun))));
        }
        let piece = ready!(self.rest.poll_next(cx));
        let piece = self.next(piece).inspect_err(|fault| {
            let _ = self.progress.fault.set(*fault); // the first one counts
        })?;
        Poll::Ready(piece.map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.begun.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.begun {
            None => self.rest.size_hint(),
            Some(_) => SizeHint::default(),
        }
    }
}
