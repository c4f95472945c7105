//! Requests' bodies: limited, timed, kept for another try while small.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::pause::Pause;

/// How much of a refused body is read and thrown away, and for how long: a connection closed with bytes unread is reset, and
/// the reset can overtake the answer that says why.
const LINGER_BYTES: usize = 1024 * 1024;
const LINGER: Duration = Duration::from_secs(1);

/// Reads what is left of a refused body, within bounds.
pub async fn discard(mut incoming: Incoming) {
    let mut discarded = 0;
    let _ = tokio::time::timeout(
        LINGER,
        std::future::poll_fn(|cx| poll_discard(&mut incoming, &mut discarded, cx)),
    )
    .await;
}

fn poll_discard(incoming: &mut Incoming, discarded: &mut usize, cx: &mut Context<'_>) -> Poll<()> {
    while *discarded < LINGER_BYTES {
        match ready!(Pin::new(&mut *incoming).poll_frame(cx)) {
            Some(Ok(frame)) => *discarded += frame.data_ref().map_or(0, Bytes::len),
            _ => break,
        }
    }
    Poll::Ready(())
}

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
                    discard(incoming).await;
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
            discarded: None,
            fault: Arc::default(),
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

    /// Where a streamed body notes why it failed.
    #[must_use]
    pub fn fault(&self) -> Option<Arc<OnceLock<BodyFault>>> {
        match self {
            Self::Kept(_) => None,
            Self::Streamed(upload) => Some(Arc::clone(&upload.fault)),
        }
    }
}

/// A body too large to keep.
#[derive(Debug)]
pub struct Upload {
    begun: Option<Bytes>,
    rest: Incoming,
    left: usize,
    pause: Pause,
    /// Set once the body is too large: the bytes thrown away since, and for how long more.
    discarded: Option<(usize, Pause)>,
    fault: Arc<OnceLock<BodyFault>>,
}

impl Upload {
    fn fail(&self, fault: BodyFault) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let _ = self.fault.set(fault);
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
            if let Some((discarded, lingering)) = &mut self.discarded {
                if poll_discard(&mut self.rest, discarded, cx).is_pending() {
                    ready!(lingering.poll_over(cx));
                }
                return self.fail(BodyFault::TooLarge);
            }
            let Poll::Ready(frame) = Pin::new(&mut self.rest).poll_frame(cx) else {
                ready!(self.pause.poll_over(cx));
                return self.fail(BodyFault::Slow);
            };
            self.pause.end();
            match frame {
                None => return Poll::Ready(None),
                Some(Err(_)) => return self.fail(BodyFault::Broken),
                Some(Ok(frame)) => {
                    // Trailers were announced to this hop only.
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    let Some(left) = self.left.checked_sub(data.len()) else {
                        self.discarded = Some((0, Pause::new(LINGER)));
                        continue;
                    };
                    self.left = left;
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
