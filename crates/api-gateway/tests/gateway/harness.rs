//! A gateway in this process, upstreams to put behind it, and clients of both kinds: polite and raw.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api_gateway::config::{Config, RequestLimits};
use api_gateway::endpoint::Target;
use api_gateway::state::Shared;
use api_gateway::worker::Workers;
use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use common::config::HttpConfig;
use common::lifecycle::Shutdown;
use http::HeaderValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const PRODUCTS: &str = "product-service";
pub(crate) const ORDERS: &str = "order-service";

/// A running gateway with two workers; it ends with the test.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) shared: Arc<Shared>,
    pub(crate) shutdown: Shutdown,
    pub(crate) workers: Workers,
}

impl Gateway {
    pub(crate) fn start() -> Self {
        Self::with(|_, _| ())
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config, &mut HttpConfig)) -> Self {
        let (mut config, mut http) = (Config::default(), HttpConfig::default());
        change(&mut config, &mut http);
        let shared = Shared::new(
            config,
            RequestLimits::from(&http),
            HeaderValue::from_static("gateway-1"),
        );
        let shutdown = Shutdown::new();
        let loopback = [SocketAddr::from(([127, 0, 0, 1], 0))];
        let workers = Workers::start(&loopback, 2, &shared, &http, &shutdown).unwrap();
        Self {
            address: workers.addresses()[0],
            shared,
            shutdown,
            workers,
        }
    }

    /// Puts instances behind a service, named `a`, `b`, ... in the order given.
    pub(crate) fn put(&self, service: &str, addresses: &[SocketAddr]) {
        let targets = addresses.iter().zip('a'..).map(|(address, id)| Target {
            id: id.to_string(),
            generation: 1,
            address: *address,
        });
        let cluster = self
            .shared
            .clusters()
            .iter()
            .find(|cluster| cluster.name() == service)
            .unwrap();
        cluster.apply(targets.collect(), common::clock::now());
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sends bytes, reads until the gateway closes.
    pub(crate) async fn raw(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_ref()).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.shutdown.close();
    }
}

/// A client that follows nothing and keeps no environment's proxies.
pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}

/// An HTTP server behind the gateway, counting what reaches it.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    hits: Arc<AtomicUsize>,
}

impl Upstream {
    pub(crate) async fn start(router: Router) -> Self {
        let hits = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&hits);
        let router = router.layer(middleware::from_fn(move |request: Request, next: Next| {
            counted.fetch_add(1, Ordering::Relaxed);
            next.run(request)
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, hits }
    }

    /// Answers everything with its method, path and query.
    pub(crate) async fn echo() -> Self {
        Self::start(
            Router::new().fallback(async |request: Request| {
                format!("{} {}", request.method(), request.uri())
            }),
        )
        .await
    }

    pub(crate) fn hits(&self) -> usize {
        self.hits.load(Ordering::Relaxed)
    }
}

/// A server that does with each connection what the test says.
pub(crate) async fn raw_upstream<F>(
    mut serve: impl FnMut(TcpStream) -> F + Send + 'static,
) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// Reads one request without a body; its head, or nothing when the connection ended.
pub(crate) async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// An address that refuses connections: bound once, and closed again.
pub(crate) async fn refusing() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
}

/// Awaits an event that must happen.
pub(crate) async fn soon<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), event)
        .await
        .expect("it did not happen within 10 s")
}
