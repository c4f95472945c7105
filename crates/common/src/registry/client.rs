//! The HTTP client behind both halves. It talks to one address at a time: replicas are told apart by where they are.

use std::net::SocketAddr;
use std::time::Duration;

/// For a call that a healthy registry answers in a millisecond.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(1);
/// Without a byte on a watch, whose server sends a comment every 5 seconds.
pub(super) const SILENCE: Duration = Duration::from_secs(12);
/// The first wait after a failure, doubled up to [`LAST_RETRY`].
pub(super) const FIRST_RETRY: Duration = Duration::from_millis(50);
/// The longest wait after a failure: how late a registry that comes back is noticed.
pub(super) const LAST_RETRY: Duration = Duration::from_secs(1);
/// After so many failures in a row (some 2 s) what is waited for is said aloud.
pub(super) const PATIENCE: u32 = 6;

/// A client without proxies: the registry is on our own network whatever `HTTP_PROXY` says.
pub(super) fn client() -> reqwest::Client {
    let builder = reqwest::Client::builder()
        .no_proxy()
        .connect_timeout(CALL_TIMEOUT)
        .read_timeout(SILENCE);
    builder
        .tcp_nodelay(true)
        .build()
        .expect("a client without TLS, proxies or cookies needs nothing that can fail")
}

pub(super) fn url(replica: SocketAddr, path: &str) -> String {
    format!("http://{replica}{path}")
}

/// The wait after `failed` failures in a row (1 or more), before jitter.
pub(super) fn backoff(failed: u32) -> Duration {
    FIRST_RETRY
        .saturating_mul(1 << failed.saturating_sub(1).min(8))
        .min(LAST_RETRY)
}
