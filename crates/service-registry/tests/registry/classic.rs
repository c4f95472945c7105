//! The four calls of clients that know nothing else.

use serde_json::json;

use crate::support::{Instance, Server, Stream};

#[tokio::test]
async fn the_four_calls_have_their_shapes() {
    let (server, one, two) = (Server::start(), Instance::start(), Instance::start());
    assert_eq!(
        server.get("/discover/shop").await,
        (
            404_u16.try_into().unwrap(),
            json!({ "error": "Service not found" })
        )
    );
    let mut stream = Stream::open(&server, "service=shop", None).await;
    for instance in [&one, &two] {
        let body = json!({ "name": "shop", "ip": "127.0.0.1", "port": instance.address.port() });
        let (status, answer) = server.post("/register", body).await;
        assert_eq!(
            (status.as_u16(), answer),
            (200, json!({ "status": "registered", "service": "shop" }))
        );
        stream
            .until(
                &format!("127-0-0-1-{}", instance.address.port()),
                Some("passing"),
            )
            .await;
    }
    let mut ports = Vec::new();
    for _ in 0..4 {
        let (_, found) = server.get("/discover/shop").await;
        let keys: Vec<&str> = found
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(keys, ["health", "instances", "ip", "port", "registered_at"]);
        assert_eq!(
            (
                &found["health"],
                found["instances"].as_array().unwrap().len()
            ),
            (&json!("healthy"), 2)
        );
        ports.push(found["port"].as_u64().unwrap());
    }
    assert!(
        ports[0] != ports[1] && ports[..2] == ports[2..],
        "in turn: {ports:?}"
    );
    let (_, services) = server.get("/services").await;
    assert_eq!(services["shop"]["instances"].as_array().unwrap().len(), 2);
    let (status, answer) = server.delete("/deregister/shop").await;
    assert_eq!(
        (status.as_u16(), answer),
        (200, json!({ "status": "deregistered", "service": "shop" }))
    );
    assert_eq!(server.delete("/deregister/shop").await.0, 404);
}

#[tokio::test]
async fn addresses_outside_the_probe_networks_are_refused() {
    let server = Server::start();
    let (status, problem) = server
        .post(
            "/register",
            json!({ "name": "x", "ip": "169.254.169.254", "port": 80 }),
        )
        .await;
    assert_eq!(
        (status.as_u16(), &problem["errors"][0]["pointer"]),
        (422, &json!("/ip"))
    );
    assert!(
        problem["errors"][0]["detail"]
            .as_str()
            .unwrap()
            .contains("PROBE_CIDRS")
    );
    let (status, problem) = server
        .post("/register", json!({ "name": "x", "ip": "127.0.0.1" }))
        .await;
    assert_eq!(
        (status.as_u16(), &problem["errors"][0]["pointer"]),
        (422, &json!("/port"))
    );
    assert_eq!(server.get("/services").await.1, json!({}));
}
