//! The two stages of an end: **begun** (unready, leaving the registry, everything still answered, each
//! answer the last of its connection), then **closing** (no
//! new connections, requests in flight finish). What comes after is a hard deadline, kept by [`crate::service::run`].

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Where the process is on its way out. Clones share the state.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    begun: CancellationToken,
    closing: CancellationToken,
}

impl Shutdown {
    /// A process that is not ending.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins the first stage: by a signal, or because the service decided to end.
    pub fn begin(&self) {
        self.begun.cancel();
    }

    /// Begins the second stage (and the first, if that was not begun).
    pub fn close(&self) {
        self.begun.cancel();
        self.closing.cancel();
    }

    /// Whether the first stage was begun.
    pub fn is_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Waits for the first stage.
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// Waits for the second stage.
    pub async fn closing(&self) {
        self.closing.cancelled().await;
    }

    /// The second stage as a token, for background tasks.
    pub fn closing_token(&self) -> CancellationToken {
        self.closing.clone()
    }
}

/// Begins the shutdown at the first SIGTERM or SIGINT; at the second, the process aborts at once with 128 + its number.
pub(crate) fn watch_signals(shutdown: Shutdown) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        loop {
            let number = tokio::select! {
                Some(()) = terminate.recv() => SignalKind::terminate().as_raw_value(),
                Some(()) = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
                else => return,
            };
            if shutdown.is_begun() {
                tracing::warn!(signal = number, "second signal: aborting");
                std::process::exit(128 + number);
            }
            tracing::info!(signal = number, "shutting down");
            shutdown.begin();
        }
    });
    Ok(())
}
