//! Answers' bodies: the gateway's own, or an upstream's, streamed as it comes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::body::{BodyFault, Outbound, Pieces};
use crate::endpoint::InFlight;
use crate::pool::Lease;

/// An answer's body on its way to the client: the gateway's own, or an upstream's.
pub type ClientBody = Outbound<Download>;

/// An upstream's answer under way: holds its place in flight and its connection, and gives both back at its end. Dropped before the end
/// (the client left), it takes the connection with it, which tells the upstream to stop.
#[derive(Debug)]
pub struct Download {
    pieces: Pieces,
    held: Option<(InFlight, Lease)>,
}

impl Download {
    /// `pause` is the longest silence of the upstream between two pieces.
    #[must_use]
    pub fn new(incoming: Incoming, in_flight: InFlight, lease: Lease, pause: Duration) -> Self {
        let mut download = Self {
            pieces: Pieces::new(incoming, pause),
            held: Some((in_flight, lease)),
        };
        if download.is_end_stream() {
            download.release();
        }
        download
    }

    fn release(&mut self) {
        if let Some((_, lease)) = self.held.take() {
            lease.give_back();
        }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let piece = ready!(self.pieces.poll_next(cx)).transpose()?;
        if piece.is_none() || self.is_end_stream() {
            self.release();
        }
        Poll::Ready(piece.map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.pieces.size_hint()
    }
}
