//! Beginning and ending.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use api_gateway::discovery;
use axum::Router;
use common::health::Health;
use common::registry::{Endpoint, Endpoints, Watch};
use futures_util::future::join_all;
use http::StatusCode;
use tokio::sync::{Notify, watch};

use crate::harness::{Gateway, PRODUCTS, Upstream, client, soon};

#[tokio::test]
async fn at_the_end_nothing_in_flight_fails() {
    let mut gateway = Gateway::start();
    let (arrived, release) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let all_here = Arc::new(Notify::new());
    let upstream = {
        let (arrived, release, all_here) = (
            Arc::clone(&arrived),
            Arc::clone(&release),
            Arc::clone(&all_here),
        );
        Upstream::start(Router::new().fallback(move || {
            let released = Arc::clone(&release).notified_owned();
            if arrived.fetch_add(1, Ordering::Relaxed) + 1 == 50 {
                all_here.notify_one();
            }
            async move {
                released.await;
                "done"
            }
        }))
        .await
    };
    gateway.put(PRODUCTS, &[upstream.address]);
    let requests: Vec<_> = (0..50)
        .map(|_| tokio::spawn(client().get(gateway.url("/api/products")).send()))
        .collect();
    soon(all_here.notified()).await;
    gateway.shutdown.close();
    // The door is closed: nobody new gets in.
    soon(async {
        while tokio::net::TcpStream::connect(gateway.address)
            .await
            .is_ok()
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    release.notify_waiters();
    for answer in join_all(requests).await {
        let answer = answer.unwrap().unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.text().await.unwrap(), "done");
    }
    soon(gateway.workers.ended()).await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_noticed() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = Gateway::start();
    let http = common::config::HttpConfig::default();
    for address in [taken.local_addr().unwrap(), gateway.address] {
        let error = api_gateway::worker::Workers::start(
            &[address],
            2,
            &gateway.shared,
            &http,
            &gateway.shutdown,
        )
        .unwrap_err();
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }
}

fn view(addresses: &[SocketAddr]) -> Arc<Endpoints> {
    let endpoint = |(address, id): (&SocketAddr, char)| Endpoint {
        id: id.to_string().parse().unwrap(),
        address: *address,
        generation: 1,
        metadata: Default::default(),
    };
    let endpoints: Vec<_> = addresses.iter().zip('a'..).map(endpoint).collect();
    let orders = endpoints[..1].to_vec();
    let services = [(PRODUCTS, endpoints), ("order-service", orders)];
    let services = services.map(|(name, endpoints)| (name.parse().unwrap(), endpoints));
    Arc::new(services.into_iter().collect())
}

#[tokio::test]
async fn the_registrys_view_is_followed_and_outlives_it() {
    let gateway = Gateway::start();
    let (a, b) = (Upstream::echo().await, Upstream::echo().await);
    let (views, current) = watch::channel(Arc::default());
    let health = Health::new();
    let registry = health.dependency("service-registry");
    let following = tokio::spawn(discovery::follow(
        Watch::fixed(current),
        Arc::clone(&gateway.shared),
        registry,
    ));
    let mut ready = health.watch();
    assert!(!health.is_ready());
    let client = client();
    let get = async || {
        client
            .get(gateway.url("/api/products"))
            .send()
            .await
            .unwrap()
            .status()
    };
    assert_eq!(get().await, StatusCode::SERVICE_UNAVAILABLE);
    views.send(view(&[a.address])).unwrap();
    soon(ready.wait_for(|ready| *ready)).await.unwrap();
    assert_eq!(get().await, StatusCode::OK);
    views.send(view(&[a.address, b.address])).unwrap();
    drop(views);
    soon(following).await.unwrap();
    for _ in 0..4 {
        assert_eq!(get().await, StatusCode::OK);
    }
    assert_eq!((a.hits(), b.hits()), (3, 2));
    assert!(health.is_ready());
}
