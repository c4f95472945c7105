use axum::Extension;
use axum::routing::get;
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use super::*;

fn router() -> Router {
    let identity = Identity {
        service: "example",
        instance: "example-1".parse().unwrap(),
    };
    let config = HttpConfig {
        request_ms: Duration::from_secs(1),
        ..HttpConfig::default()
    };
    let routes = Router::new()
        .route(
            "/panics",
            get(|| async {
                if true {
                    panic!("hunter2")
                }
            }),
        )
        .route("/hangs", get(std::future::pending::<()>))
        .route("/fails", get(|| async { Problem::internal("hunter2") }))
        .route(
            "/own",
            get(|| async { ([(X_SERVED_BY, "another-1")], "own") }),
        )
        .route(
            "/context",
            get(|Extension(context): Extension<RequestContext>| async move {
                let current = RequestContext::current().unwrap();
                assert_eq!(current.trace(), context.trace());
                current.trace().trace_id_hex()
            }),
        );
    wrap(routes, &identity, &config)
}

async fn ask(method: &str, path: &str) -> (StatusCode, http::HeaderMap, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(X_REQUEST_ID, "r-1");
    let response = router()
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    let (parts, body) = response.into_parts();
    let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    (parts.status, parts.headers, body)
}

#[tokio::test(start_paused = true)]
async fn every_refusal_is_a_problem_that_names_its_request_and_hides_its_cause() {
    for (method, path, status, slug) in [
        ("GET", "/nowhere", 404, "not-found"),
        ("POST", "/fails", 405, "method-not-allowed"),
        ("GET", "/fails", 500, "internal"),
        ("GET", "/panics", 500, "internal"),
        ("GET", "/hangs", 503, "unavailable"),
    ] {
        let (found, headers, body) = ask(method, path).await;
        assert_eq!(found.as_u16(), status, "{path}");
        assert_eq!(headers[X_REQUEST_ID], "r-1");
        assert_eq!(headers[X_SERVED_BY], "example-1");
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["type"], format!("urn:underlay:problem:{slug}"));
        assert_eq!(
            (&problem["instance"], &problem["status"]),
            (&"r-1".into(), &status.into())
        );
        assert!(!body.contains("hunter2"));
        assert_eq!(headers.contains_key(header::ALLOW), status == 405);
        if let Some(length) = headers.get(header::CONTENT_LENGTH) {
            assert_eq!(length.to_str().unwrap(), body.len().to_string());
        }
    }
}

#[tokio::test]
async fn the_maker_of_an_answer_is_set_once() {
    let (_, headers, body) = ask("GET", "/own").await;
    let makers: Vec<_> = headers.get_all(X_SERVED_BY).iter().collect();
    assert!(makers == ["another-1"] && body == "own", "{makers:?}");
}

#[tokio::test]
async fn handlers_know_their_context() {
    assert_eq!(ask("GET", "/context").await.0, 200);
}
