//! `GET /v1/watch`: server-sent events. `snapshot` first, then `change`; ids are `<epoch>.<revision>`, and a client that
//! comes back with `Last-Event-ID` gets what it missed, or a snapshot when that is no longer known.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State as Extract;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use common::problem::{Problem, Slug};
use common::registry::{ServiceName, SnapshotBody};
use futures_util::stream;
use http::{HeaderMap, Uri, header};
use tokio_util::sync::CancellationToken;

use crate::registry::{News, Registry, Subscription};

/// A comment this often tells a silent connection from a dead one.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Services of one watch.
const MAX_SERVICES: usize = 64;

pub(super) async fn watch(
    Extract(registry): Extract<Arc<Registry>>,
    Extract(closing): Extract<CancellationToken>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let services = requested(uri.query().unwrap_or_default())?;
    let after = seen(&headers, registry.epoch());
    let subscription = registry.watch(services, after).ok_or_else(|| {
        Problem::new(Slug::Unavailable)
            .detail("there are too many watchers")
            .retry_after(5)
    })?;
    let events = Events {
        epoch: registry.epoch().to_owned(),
        subscription,
        closing,
    };
    let body = Body::from_stream(stream::unfold(events, async |mut events| {
        let bytes = events.next().await?;
        Some((Ok::<_, Infallible>(bytes), events))
    }));
    Ok((
        [
            (header::CONTENT_TYPE, "text/event-stream"),
            (header::CACHE_CONTROL, "no-store"),
        ],
        body,
    )
        .into_response())
}

/// The repeated query parameter `service`.
fn requested(query: &str) -> Result<BTreeSet<ServiceName>, Problem> {
    let mut services = BTreeSet::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name != "service" {
            return Err(Problem::invalid(
                format!("/{name}"),
                "is not a parameter; there is only service",
            ));
        }
        let service = value
            .parse::<ServiceName>()
            .map_err(|error| Problem::invalid("/service", error.to_string()))?;
        services.insert(service);
    }
    match services.len() {
        1..=MAX_SERVICES => Ok(services),
        _ => Err(Problem::invalid(
            "/service",
            format!("name 1 to {MAX_SERVICES} services"),
        )),
    }
}

/// The revision after which a client wants to go on, if it is one of this life of the registry.
fn seen(headers: &HeaderMap, epoch: &str) -> Option<u64> {
    let id = headers.get("last-event-id")?.to_str().ok()?;
    let (of_epoch, revision) = id.rsplit_once('.')?;
    if of_epoch == epoch {
        revision.parse().ok()
    } else {
        None
    }
}

struct Events {
    epoch: String,
    subscription: Subscription,
    closing: CancellationToken,
}

impl Events {
    /// The next bytes to send; `None` ends the stream. Being asked again means that the last ones were taken.
    async fn next(&mut self) -> Option<Bytes> {
        self.subscription.delivered();
        loop {
            if self.closing.is_cancelled() {
                return None;
            }
            if let Some(news) = self.subscription.pull() {
                return Some(self.write(&news));
            }
            self.subscription.delivered();
            tokio::select! {
                biased;
                () = self.closing.cancelled() => return None,
                () = self.subscription.changed() => {}
                () = tokio::time::sleep(HEARTBEAT) => return Some(Bytes::from_static(b":\n\n")),
            }
        }
    }

    fn write(&self, news: &News) -> Bytes {
        let mut text = String::new();
        match news {
            News::Snapshot(revision, instances) => {
                let body = SnapshotBody {
                    revision: *revision,
                    instances: instances.clone(),
                };
                let json = serde_json::to_string(&body).expect("a snapshot has text keys");
                self.event(&mut text, "snapshot", *revision, &json);
            }
            News::Changes(changes) => {
                for change in changes {
                    self.event(&mut text, "change", change.revision, &change.json);
                }
            }
        }
        Bytes::from(text)
    }

    fn event(&self, text: &mut String, name: &str, revision: u64, json: &str) {
        // JSON written by serde has no line breaks: one data line.
        write!(
            text,
            "id: {}.{revision}\nevent: {name}\ndata: {json}\n\n",
            self.epoch
        )
        .expect("writing to a String cannot fail");
    }
}
