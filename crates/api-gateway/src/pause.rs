//! The longest silence within a body.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;

/// A deadline that runs only while nothing comes: its timer exists only while somebody waits.
#[derive(Debug)]
pub struct Pause {
    longest: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Pause {
    /// Not waiting yet.
    #[must_use]
    pub fn new(longest: Duration) -> Self {
        Self {
            longest,
            timer: None,
        }
    }

    /// Somebody waits; ready when they did so for too long.
    pub fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let longest = self.longest;
        self.timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(longest)))
            .as_mut()
            .poll(cx)
    }

    /// Something came.
    pub fn end(&mut self) {
        self.timer = None;
    }
}
