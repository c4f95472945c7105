//! Finding others: the merged view of all registry replicas.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::client::{backoff, client, url};
use super::merge::Views;
use super::resolve::{RegistryUrl, replicas};
use super::sse::{Event, Parser};
use super::{Change, InstanceId, ServiceName, SnapshotBody};
use crate::clock;
use crate::config::{ConfigError, RegistryConfig};
use crate::problem::Chain;

/// How often the registry's names are resolved anew, to find replicas that were added.
const RESOLVE_EVERY: Duration = Duration::from_secs(5);

/// One passing instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name among its siblings.
    pub id: InstanceId,
    /// Where it answers.
    pub address: SocketAddr,
    /// Its start, in ms since 1970: a changed generation is another process.
    pub generation: u64,
    /// What it told about itself.
    pub metadata: BTreeMap<String, String>,
}

/// The passing instances of the watched services, by service, ordered by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endpoints {
    services: BTreeMap<ServiceName, Arc<[Endpoint]>>,
    known: bool,
}

impl Endpoints {
    pub(super) fn new(services: BTreeMap<ServiceName, Vec<Endpoint>>, known: bool) -> Self {
        let sorted = |(service, mut endpoints): (ServiceName, Vec<Endpoint>)| {
            endpoints.sort_by(|a, b| a.id.cmp(&b.id));
            (service, Arc::from(endpoints))
        };
        Self {
            services: services.into_iter().map(sorted).collect(),
            known,
        }
    }

    /// The instances of a service; empty when it has none.
    pub fn of(&self, service: &str) -> Arc<[Endpoint]> {
        self.services
            .get(service)
            .cloned()
            .unwrap_or_else(|| Arc::from([]))
    }

    /// Whether any registry has answered yet: before that, "none" means "unknown".
    pub fn is_known(&self) -> bool {
        self.known
    }
}

impl FromIterator<(ServiceName, Vec<Endpoint>)> for Endpoints {
    fn from_iter<T: IntoIterator<Item = (ServiceName, Vec<Endpoint>)>>(services: T) -> Self {
        Self::new(services.into_iter().collect(), true)
    }
}

/// Follows services at every registry replica. Clones share one background task, which ends with the last of them.
#[derive(Debug, Clone)]
pub struct Watch {
    endpoints: watch::Receiver<Arc<Endpoints>>,
}

impl Watch {
    /// Starts following in the background; call within a tokio runtime. Without a registry (`SERVICE_REGISTRY` empty) the
    /// view stays unknown and empty.
    pub fn start(config: &RegistryConfig, services: &[ServiceName]) -> Result<Self, ConfigError> {
        let urls = RegistryUrl::parse_all(&config.urls)?;
        let (publish, endpoints) = watch::channel(Arc::default());
        if !urls.is_empty() {
            let query: Vec<String> = services
                .iter()
                .map(|service| format!("service={service}"))
                .collect();
            tokio::spawn(follow(
                urls,
                format!("/v1/watch?{}", query.join("&")),
                publish,
            ));
        }
        Ok(Self { endpoints })
    }

    /// A view that a test moves by hand.
    pub fn fixed(endpoints: watch::Receiver<Arc<Endpoints>>) -> Self {
        Self { endpoints }
    }

    /// The view now. Keeps the last known good one while every registry is away.
    pub fn current(&self) -> Arc<Endpoints> {
        self.endpoints.borrow().clone()
    }

    /// Follows changes; each thread may have its own.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Endpoints>> {
        self.endpoints.clone()
    }
}

/// What a replica's stream has to say.
enum News {
    /// It answers; changes or a snapshot follow.
    Connected,
    Snapshot(String, SnapshotBody),
    Change(Change),
    Disconnected,
}

type Sent = (SocketAddr, News);

async fn follow(urls: Vec<RegistryUrl>, path: String, publish: watch::Sender<Arc<Endpoints>>) {
    let client = client();
    let (send, mut news) = mpsc::channel::<Sent>(64);
    let (send_found, mut found) = mpsc::channel(1);
    tokio::spawn(resolve(urls, send_found));
    let mut streams = Streams(BTreeMap::new());
    let mut views = Views::default();
    loop {
        let settled = views.next_deadline();
        tokio::select! {
            () = publish.closed() => return,
            Some(found) = found.recv() => {
                for gone in streams.retain(&found) {
                    views.disconnected(gone, clock::now());
                    views.forget(gone);
                }
                for replica in found {
                    streams.0.entry(replica).or_insert_with(|| {
                        tokio::spawn(stream(client.clone(), replica, path.clone(), send.clone()))
                    });
                }
            }
            Some((replica, item)) = news.recv() => match item {
                _ if !streams.0.contains_key(&replica) => {}
                News::Connected => views.connected(replica, clock::now()),
                News::Snapshot(epoch, body) => views.snapshot(replica, &epoch, body.instances, clock::now()),
                News::Change(change) => views.change(replica, change),
                News::Disconnected => views.disconnected(replica, clock::now()),
            },
            () = tokio::time::sleep_until(settled.unwrap_or_else(clock::now)), if settled.is_some() => {
                views.settle(clock::now());
            }
        }
        // Everything that has already arrived becomes one publication.
        if news.is_empty() {
            let merged = Arc::new(views.merged());
            publish.send_if_modified(|current| {
                let changed = *current != merged;
                if changed {
                    *current = merged;
                }
                changed
            });
        }
    }
}

/// Tells who the replicas are now, again and again; a resolver that hangs holds up nobody else.
async fn resolve(urls: Vec<RegistryUrl>, found: mpsc::Sender<BTreeSet<SocketAddr>>) {
    loop {
        let replicas = replicas(&urls).await;
        // Nothing to follow yet: names appear when their containers do.
        let wait = if replicas.is_empty() {
            Duration::from_millis(200)
        } else {
            RESOLVE_EVERY
        };
        if found.send(replicas).await.is_err() {
            return;
        }
        tokio::time::sleep(wait).await;
    }
}

/// The task of each replica; they end with their owner.
struct Streams(BTreeMap<SocketAddr, JoinHandle<()>>);

impl Streams {
    /// Ends the streams of replicas that are no longer `found` (unless none is: then the resolver has a problem).
    fn retain(&mut self, found: &BTreeSet<SocketAddr>) -> Vec<SocketAddr> {
        let gone = |known: &SocketAddr| !found.is_empty() && !found.contains(known);
        self.0
            .extract_if(.., |known, _| gone(known))
            .map(|(replica, stream)| {
                stream.abort();
                replica
            })
            .collect()
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        for stream in self.0.values() {
            stream.abort();
        }
    }
}

/// Keeps one replica's stream open, for ever, resuming after the last event.
async fn stream(
    client: reqwest::Client,
    replica: SocketAddr,
    path: String,
    news: mpsc::Sender<Sent>,
) {
    let mut last_id = String::new();
    let mut failed = 0;
    loop {
        let begun = last_id.clone();
        let error = match read(&client, replica, &path, &mut last_id, &news).await {
            Ok(()) => "the registry ended the stream".to_owned(),
            Err(error) => error,
        };
        failed = if last_id == begun { failed + 1 } else { 1 };
        tracing::debug!(%replica, error, "not watching");
        if news.send((replica, News::Disconnected)).await.is_err() {
            return;
        }
        tokio::time::sleep(clock::jitter(backoff(failed), 0.2)).await;
    }
}

async fn read(
    client: &reqwest::Client,
    replica: SocketAddr,
    path: &str,
    last_id: &mut String,
    news: &mpsc::Sender<Sent>,
) -> Result<(), String> {
    let mut request = client
        .get(url(replica, path))
        .header("accept", "text/event-stream");
    if !last_id.is_empty() {
        request = request.header("last-event-id", last_id.as_str());
    }
    let answer = request
        .send()
        .await
        .and_then(reqwest::Response::error_for_status);
    let mut chunks = answer
        .map_err(|error| Chain(&error).to_string())?
        .bytes_stream();
    news.send((replica, News::Connected))
        .await
        .map_err(|error| error.to_string())?;
    let mut parser = Parser::default();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| Chain(&error).to_string())?;
        for event in parser.push(&chunk).map_err(|error| error.to_string())? {
            let id = event.id.clone();
            if let Some(item) = parse(&event)? {
                // A full channel slows the reading down: the registry bounds what it keeps for us.
                news.send((replica, item))
                    .await
                    .map_err(|error| error.to_string())?;
                *last_id = id;
            }
        }
    }
    Ok(())
}

fn parse(event: &Event) -> Result<Option<News>, String> {
    let read_error =
        |error: serde_json::Error| format!("unreadable event {:?}: {error}", event.name);
    let epoch = event
        .id
        .rsplit_once('.')
        .map(|(epoch, _)| epoch.to_owned())
        .unwrap_or_default();
    match event.name.as_str() {
        "snapshot" => Ok(Some(News::Snapshot(
            epoch,
            serde_json::from_str(&event.data).map_err(read_error)?,
        ))),
        "change" => Ok(Some(News::Change(
            serde_json::from_str(&event.data).map_err(read_error)?,
        ))),
        _ => Ok(None), // a later registry may have more to say
    }
}
