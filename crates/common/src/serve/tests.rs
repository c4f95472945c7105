//! Time stands still and jumps to the next deadline when every task waits: deadlines are checked exactly.

use std::sync::Arc;

use axum::Router;
use axum::extract::Extension;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;
use crate::clock;

struct Running {
    address: SocketAddr,
    shutdown: Shutdown,
    /// Lets `/slow` answer.
    release: Arc<Notify>,
    /// Says that `/slow` was reached.
    reached: Arc<Notify>,
    ended: JoinHandle<()>,
}

async fn start(change: impl FnOnce(&mut Limits)) -> Running {
    let mut limits = Limits::from(&HttpConfig::default());
    change(&mut limits);
    let (release, reached) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (wait, say) = (Arc::clone(&release), Arc::clone(&reached));
    let router = Router::new()
        .route(
            "/",
            get(|Extension(Peer(peer)): Extension<Peer>| async move { peer.to_string() }),
        )
        .route(
            "/slow",
            get(move || async move {
                say.notify_one();
                wait.notified().await;
                "done"
            }),
        );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, shutdown) = (listener.local_addr().unwrap(), Shutdown::new());
    let ended = tokio::spawn(serve_listener(listener, router, limits, shutdown.clone()));
    Running {
        address,
        shutdown,
        release,
        reached,
        ended,
    }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// One answer's head and its body, which must be as long as it says.
async fn answer(stream: &mut TcpStream) -> (String, String) {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .unwrap();
            if body.len() >= length.parse().unwrap() {
                return (head.to_owned(), body.to_owned());
            }
        }
        assert_ne!(
            stream.read_buf(&mut bytes).await.unwrap(),
            0,
            "closed after {text:?}"
        );
    }
}

/// Reads to the end; how long it took.
async fn closed(stream: &mut TcpStream) -> Duration {
    let begun = clock::now();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await; // a reset is an end too
    assert!(
        rest.is_empty(),
        "unexpected: {}",
        String::from_utf8_lossy(&rest)
    );
    begun.elapsed()
}

fn about(found: Duration, expected: Duration) {
    assert!(
        found >= expected && found < expected + Duration::from_millis(50),
        "{found:?}, not {expected:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn half_a_head_is_cut_off_by_its_own_deadline() {
    let running = start(|_| ()).await;
    let mut stream = running.connect().await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n")
        .await
        .unwrap();
    about(closed(&mut stream).await, Duration::from_secs(10));
    // Also for a second request on the same connection, and a drip of bytes buys no time.
    let mut stream = running.connect().await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    answer(&mut stream).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let begun = clock::now();
    for byte in b"GET / H" {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    closed(&mut stream).await;
    about(begun.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn idle_connections_are_closed_after_a_while_each_time_anew() {
    let running = start(|_| ()).await;
    let mut stream = running.connect().await;
    for _ in 0..3 {
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let (head, body) = answer(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 200 OK"));
        assert_eq!(body, stream.local_addr().unwrap().to_string());
        tokio::time::sleep(Duration::from_secs(70)).await;
    }
    about(closed(&mut stream).await, Duration::from_secs(5));
    let mut silent = running.connect().await;
    about(closed(&mut silent).await, Duration::from_secs(75));
}

#[tokio::test(start_paused = true)]
async fn a_long_answer_is_not_an_idle_connection() {
    let running = start(|_| ()).await;
    let mut stream = running.connect().await;
    stream
        .write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    running.reached.notified().await;
    tokio::time::sleep(Duration::from_secs(1000)).await;
    running.release.notify_one();
    assert_eq!(answer(&mut stream).await.1, "done");
}

#[tokio::test]
async fn headers_are_bounded_in_number_and_size() {
    let running = start(|_| ()).await;
    let ask = async |headers: String| {
        let mut stream = running.connect().await;
        stream
            .write_all(format!("GET / HTTP/1.1\r\nhost: x\r\n{headers}\r\n").as_bytes())
            .await
            .unwrap();
        answer(&mut stream).await.0
    };
    let many = |count: usize| {
        (0..count)
            .map(|n| format!("h{n}: x\r\n"))
            .collect::<String>()
    };
    assert!(ask(many(63)).await.starts_with("HTTP/1.1 200"));
    assert!(ask(many(64)).await.starts_with("HTTP/1.1 431"));
    assert!(ask(many(200)).await.starts_with("HTTP/1.1 431"));
    assert!(
        ask(format!("h: {}\r\n", "x".repeat(15 * 1024)))
            .await
            .starts_with("HTTP/1.1 200")
    );
    assert!(
        ask(format!("h: {}\r\n", "x".repeat(17 * 1024)))
            .await
            .starts_with("HTTP/1.1 431")
    );
}

#[tokio::test(start_paused = true)]
async fn closing_finishes_what_is_in_flight_and_nothing_else() {
    let running = start(|_| ()).await;
    let (mut busy, mut idle) = (running.connect().await, running.connect().await);
    idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    answer(&mut idle).await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    running.reached.notified().await;
    let queued = std::net::TcpStream::connect(running.address).unwrap();
    running.shutdown.close();
    about(closed(&mut idle).await, Duration::ZERO);
    assert!(
        TcpStream::connect(running.address).await.is_err(),
        "the door is closed"
    );
    queued.set_nonblocking(true).unwrap();
    let mut queued = TcpStream::from_std(queued).unwrap();
    running.release.notify_one();
    let (head, body) = answer(&mut busy).await;
    assert!(
        head.contains("connection: close") && body == "done",
        "{head}"
    );
    about(closed(&mut busy).await, Duration::ZERO);
    closed(&mut queued).await;
    running.ended.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn once_the_end_has_begun_each_answer_is_the_last_of_its_connection() {
    let running = start(|_| ()).await;
    let mut kept = running.connect().await;
    let ask = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    kept.write_all(ask).await.unwrap();
    assert!(!answer(&mut kept).await.0.contains("connection: close"));
    running.shutdown.begin();
    let mut new = running.connect().await;
    for stream in [&mut kept, &mut new] {
        stream.write_all(ask).await.unwrap();
        let (head, _) = answer(stream).await;
        assert!(
            head.starts_with("HTTP/1.1 200") && head.contains("connection: close"),
            "{head}"
        );
        about(closed(stream).await, Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_just_connected_when_the_door_closes_may_ask_once() {
    let running = start(|_| ()).await;
    let (mut quick, mut silent) = (running.connect().await, running.connect().await);
    let begun = clock::now();
    running.shutdown.close();
    tokio::time::sleep(Duration::from_millis(100)).await;
    quick
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let (head, _) = answer(&mut quick).await;
    assert!(
        head.starts_with("HTTP/1.1 200") && head.contains("connection: close"),
        "{head}"
    );
    closed(&mut silent).await;
    about(begun.elapsed(), Duration::from_millis(500));
    running.ended.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_drain_deadline_cuts_off_what_does_not_finish() {
    let running = start(|_| ()).await;
    let mut stream = running.connect().await;
    stream
        .write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    running.reached.notified().await;
    let begun = clock::now();
    running.shutdown.close();
    running.ended.await.unwrap();
    about(begun.elapsed(), Duration::from_secs(8));
    closed(&mut stream).await;
}

#[tokio::test(start_paused = true)]
async fn connections_are_capped_and_the_next_one_waits() {
    let running = start(|limits| limits.max_connections = 1).await;
    let mut first = running.connect().await;
    first
        .write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    running.reached.notified().await;
    let mut second = running.connect().await;
    second
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let waited = tokio::time::timeout(Duration::from_secs(5), answer(&mut second)).await;
    assert!(waited.is_err(), "served beyond the cap");
    running.release.notify_one();
    answer(&mut first).await;
    drop(first);
    assert!(answer(&mut second).await.0.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_service_that_cannot_leave_its_thread_is_served_too() {
    let local = tokio::task::LocalSet::new();
    let served = local.run_until(async {
        let count = std::rc::Rc::new(std::cell::Cell::new(0));
        let service = tower::service_fn(move |_: Request<Incoming>| {
            count.set(count.get() + 1);
            let body = http_body_util::Full::new(Bytes::from(count.get().to_string()));
            async move { Ok(Response::new(body)) }
        });
        let listener = bind_reuse_port("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let sibling = bind_reuse_port(address).unwrap();
        drop(sibling);
        let listener = TcpListener::from_std(listener).unwrap();
        let limits = Limits::from(&HttpConfig::default());
        tokio::task::spawn_local(serve_listener_local(
            listener,
            service,
            limits,
            Shutdown::new(),
        ));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        answer(&mut stream).await.1
    });
    assert_eq!(served.await, "1");
}
