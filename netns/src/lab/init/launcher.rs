//! The lab's end of the socket pair to its launcher.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use crate::lab::protocol::{Progress, Reply, line};

/// What the launcher says when it leaves a lab that is to go on without it.
pub(in crate::lab) const DETACH: &str = "detach";

/// What the launcher says when the uplink stands.
pub(in crate::lab) const CONNECTED: &str = "connected";

/// Blocking use of the pair, before there is a runtime and after there was one.
pub(super) struct Link(Option<UnixStream>);

impl Link {
    pub(super) fn new(stream: &UnixStream) -> Self {
        Self(stream.try_clone().ok())
    }

    /// The lab's first process, as the host numbers it: only the launcher can know.
    pub(super) fn receive_pid(&self) -> io::Result<i32> {
        let stream = self.0.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let mut text = String::new();
        BufReader::new(stream).read_line(&mut text)?;
        text.trim().parse().map_err(io::Error::other)
    }

    /// Tells the launcher, if it still listens.
    pub(super) fn tell(&self, progress: &Progress) {
        if let (Some(mut stream), Ok(bytes)) =
            (self.0.as_ref(), line(&Reply::Progress(progress.clone())))
        {
            let _ = stream.write_all(&bytes);
        }
    }
}
