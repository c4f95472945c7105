//! Server-sent events: order, resumption, bounds.

use serde_json::json;
use service_registry::config::Config;

use crate::support::{Instance, Server, Stream};

fn path(service: &str, id: &str) -> String {
    format!("/v1/services/{service}/instances/{id}")
}

#[tokio::test]
async fn a_watch_tells_only_what_was_asked_for_and_resumes_without_a_gap() {
    let (server, instance) = (Server::start(), Instance::start());
    instance.set_ready(503);
    server.put(&path("a", "1"), instance.body(1)).await;
    let mut stream = Stream::open(&server, "service=a&service=b", None).await;
    let (name, id, data) = stream.next().await.unwrap();
    assert_eq!(
        (name.as_str(), data["instances"][0]["state"].as_str()),
        ("snapshot", Some("warming"))
    );
    server.put(&path("other", "1"), instance.body(1)).await;
    server.put(&path("b", "1"), instance.body(1)).await;
    let (name, second, data) = stream.next().await.unwrap();
    assert_eq!(
        (name.as_str(), &data["service"], &data["revision"]),
        ("change", &json!("b"), &json!(3))
    );
    assert_eq!(second, format!("{}.3", id.split('.').next().unwrap()));
    drop(stream);
    server.delete(&path("a", "1")).await;
    let mut resumed = Stream::open(&server, "service=a&service=b", Some(&second)).await;
    let (name, _, data) = resumed.next().await.unwrap();
    assert_eq!(
        (name.as_str(), &data["id"], &data["instance"]),
        ("change", &json!("1"), &json!(null))
    );
    let mut foreign = Stream::open(&server, "service=b", Some("0000000000000000.3")).await;
    assert_eq!(foreign.next().await.unwrap().0, "snapshot");
}

#[tokio::test]
async fn who_is_too_far_back_gets_a_snapshot() {
    let config = Config {
        history: 2,
        ..Config::default()
    };
    let server = Server::with("127.0.0.1:0".parse().unwrap(), None, &config);
    let instance = Instance::start();
    instance.set_ready(503);
    let mut stream = Stream::open(&server, "service=a", None).await;
    let (_, first, _) = stream.next().await.unwrap();
    for generation in 1..=3 {
        server.put(&path("a", "1"), instance.body(generation)).await;
    }
    let mut late = Stream::open(&server, "service=a", Some(&first)).await;
    let (name, _, data) = late.next().await.unwrap();
    assert_eq!(
        (name.as_str(), &data["instances"][0]["generation"]),
        ("snapshot", &json!(3))
    );
}

#[tokio::test]
async fn watchers_are_told_of_a_drain_before_its_answer() {
    let (server, instance) = (Server::start(), Instance::start());
    let mut stream = Stream::open(&server, "service=a", None).await;
    server.put(&path("a", "1"), instance.body(1)).await;
    stream.until("1", Some("passing")).await;
    let reader = tokio::spawn(async move {
        stream.until("1", Some("draining")).await;
        common::clock::now()
    });
    server
        .post(&format!("{}/drain", path("a", "1")), json!({}))
        .await;
    let answered = common::clock::now();
    // It was on its way before the answer; the reader may be scheduled a moment after us.
    let told = reader.await.unwrap();
    assert!(told <= answered + std::time::Duration::from_millis(100));
}

#[tokio::test]
async fn watchers_are_bounded_and_must_say_what_they_want() {
    let config = Config {
        max_watchers: 1,
        ..Config::default()
    };
    let server = Server::with("127.0.0.1:0".parse().unwrap(), None, &config);
    for query in ["", "?service=", "?service=A", "?servise=a"] {
        assert_eq!(
            server.get(&format!("/v1/watch{query}")).await.0,
            422,
            "{query}"
        );
    }
    let mut one = Stream::open(&server, "service=a", None).await;
    one.next().await.unwrap();
    assert_eq!(server.get("/v1/watch?service=a").await.0, 503);
}

#[tokio::test]
async fn watches_end_when_the_registry_closes() {
    let server = Server::start();
    let mut stream = Stream::open(&server, "service=a", None).await;
    stream.next().await.unwrap();
    drop(server);
    assert!(stream.next().await.is_none());
}
