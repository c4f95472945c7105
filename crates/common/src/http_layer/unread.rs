//! What a handler leaves unread of a request's body is read and thrown away, for a while.
//!
//! Without it the connection is closed with bytes unread, the kernel answers that with a reset, and a client that is
//! still sending gets the reset instead of the 413 (RFC 9112, section 9.6).

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use http::header::EXPECT;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::runtime::Handle;

/// Most bytes thrown away; beyond it the client has to live with the reset.
const MOST_BYTES: usize = 8 * 1024 * 1024;
/// Longest time for it.
const LONGEST: Duration = Duration::from_secs(3);

/// Arranges it for `request`. A client that waits for `100 Continue` has not sent its body, and is not asked to.
pub(super) fn watch(request: &mut Request) {
    if !request.body().is_end_stream() && !request.headers().contains_key(EXPECT) {
        let body = std::mem::take(request.body_mut());
        *request.body_mut() = Body::new(Watched(body));
    }
}

/// A body that notices when it is dropped early.
struct Watched(Body);

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let rest = std::mem::take(&mut self.0);
        if let (false, Ok(runtime)) = (rest.is_end_stream(), Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(LONGEST, discard(rest)));
        }
    }
}

async fn discard(mut body: Body) {
    let mut left = MOST_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
