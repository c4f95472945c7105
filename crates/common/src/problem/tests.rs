use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use http::Request;
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::json;
use tower::ServiceExt;

use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its shape matters")]
struct Order {
    customer_id: String,
    #[serde(deserialize_with = "objects")]
    items: Vec<Item>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its shape matters")]
struct Item {
    quantity: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its shape matters")]
struct Page {
    limit: Option<u32>,
}

fn router() -> Router {
    Router::new()
        .route("/orders", post(|_: JsonBody<Order>| async {}))
        .route("/list", get(|_: QueryParams<Page>| async {}))
        .route("/number/{id}", get(|_: PathParam<u32>| async {}))
        .route("/text/{id}", get(|_: PathParam<String>| async {}))
        .layer(DefaultBodyLimit::max(200))
}

async fn ask(request: Request<Body>) -> (u16, Value) {
    let response = router().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    if status != 200 {
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
    }
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

async fn post_order(content_type: &str, body: impl Into<Body>) -> (u16, Value) {
    ask(Request::post("/orders")
        .header("content-type", content_type)
        .body(body.into())
        .unwrap())
    .await
}

async fn get_path(path: &str) -> (u16, Value) {
    ask(Request::get(path).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_body_of_another_shape_is_422_and_names_the_field() {
    let good = r#"{"customer_id":"c","items":[{"quantity":1}]}"#;
    assert_eq!(
        post_order("application/json; charset=utf-8", good).await.0,
        200
    );
    for (body, pointer) in [
        (r#"{"customer_id":1,"items":[]}"#, "/customer_id"),
        (
            r#"{"customer_id":"c","items":[{"quantity":1},{"quantity":-1}]}"#,
            "/items/1/quantity",
        ),
        (
            r#"{"customer_id":"c","items":[{"quantity":5000000000}]}"#,
            "/items/0/quantity",
        ),
        (
            r#"{"customer_id":"c","items":[{"quantity":1,"price":0}]}"#,
            "/items/0/price",
        ),
        (r#"{"customer_id":"c","items":[],"a/b~c":1}"#, "/a~1b~0c"),
        (r#"{"customer_id":"c"}"#, "/items"),
        (r#"{"customer_id":"c","items":[{}]}"#, "/items/0/quantity"),
        (
            r#"{"customer_id":"c","customer_id":"d","items":[]}"#,
            "/customer_id",
        ),
        ("[]", ""),
        (r#"["c",[]]"#, ""),
        (r#"{"customer_id":"c","items":[[1]]}"#, "/items/0"),
    ] {
        let (status, problem) = post_order("application/json", body).await;
        assert_eq!(
            (status, problem["errors"][0]["pointer"].as_str()),
            (422, Some(pointer)),
            "{body}: {problem}"
        );
        assert_eq!(problem["type"], "urn:underlay:problem:invalid");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_400_413_or_415() {
    for body in [
        &b"{"[..],
        b"",
        b"{\"customer_id\":\"\xff\"}",
        b"{} {}",
        b"nonsense",
    ] {
        assert_eq!(
            post_order("application/json", body.to_vec()).await.0,
            400,
            "{body:?}"
        );
    }
    assert_eq!(post_order("text/plain", "{}").await.0, 415);
    assert_eq!(post_order("application/json", " ".repeat(201)).await.0, 413);
}

#[tokio::test]
async fn query_and_path_parameters_are_named_too() {
    assert_eq!(get_path("/list?limit=5").await.0, 200);
    for (path, status, pointer) in [
        ("/list?limit=-1", 422, json!("/limit")),
        ("/list?limits=1", 422, json!("/limits")),
        ("/list?limit=%ff", 400, json!(null)),
        ("/number/x", 422, json!("/id")),
        ("/text/%ff", 400, json!("/id")),
    ] {
        let (found, problem) = get_path(path).await;
        assert_eq!(
            (found, &problem["errors"][0]["pointer"]),
            (status, &pointer),
            "{path}: {problem}"
        );
    }
}

#[test]
fn slugs_are_distinct_and_problems_show_what_they_may() {
    let mut slugs: Vec<_> = Slug::ALL.iter().map(|slug| slug.as_str()).collect();
    slugs.sort_unstable();
    slugs.dedup();
    assert_eq!(slugs.len(), Slug::ALL.len());
    let problem = Problem::internal("password=hunter2")
        .with("short", json!([1]))
        .retry_after(3);
    let response = problem.to_response(Some("r-1"));
    assert_eq!(
        (
            response.status().as_u16(),
            &response.headers()["retry-after"]
        ),
        (500, &HeaderValue::from(3))
    );
    let body: Value = serde_json::from_slice(response.body()).unwrap();
    let expected = json!({
        "type": "urn:underlay:problem:internal", "title": Slug::Internal.title(), "status": 500, "instance": "r-1", "short": [1],
    });
    assert_eq!(body, expected);
}
