//! One service with stores of its own, and the few calls that the stories are made of.

use anyhow::{Context, Result, ensure};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use test_support::{Redis, Service, TestDatabase, eventually, postgres, spawn_service};
use uuid::Uuid;

pub(crate) const TOKEN: &str = "let-me-in";

/// Long enough for a machine under load: only the tests of outages want it short.
const PATIENT_CACHE: &str = "5000";

pub(crate) struct Shop {
    pub(crate) service: Service,
    pub(crate) redis: Redis,
    pub(crate) client: Client,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) async fn of(request: RequestBuilder) -> Result<Self> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await?;
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes)?
        };
        Ok(Self {
            status,
            headers,
            body,
        })
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// Where the answer came from.
    pub(crate) fn x_cache(&self) -> &str {
        self.header("x-cache")
    }

    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// A problem of this kind; the pointers of its wrong fields.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, slug: &str) -> Vec<String> {
        let answer = self.is(status);
        assert_eq!(
            answer.header("content-type"),
            "application/problem+json",
            "{answer:?}"
        );
        assert_eq!(
            answer.body["type"],
            format!("urn:underlay:problem:{slug}"),
            "{answer:?}"
        );
        let errors = answer.body["errors"].as_array().cloned();
        errors
            .unwrap_or_default()
            .iter()
            .map(|error| error["pointer"].as_str().unwrap().to_owned())
            .collect()
    }
}

impl Shop {
    /// Over fresh stores, ready.
    pub(crate) async fn open() -> Result<Self> {
        let database = postgres().await?.empty_database().await?;
        let redis = Redis::start().await?;
        let url = redis.url();
        Self::open_with(
            database,
            redis,
            &[("REDIS_URL", &url), ("CACHE__TIMEOUT_MS", PATIENT_CACHE)],
        )
        .await
    }

    /// Over the stores given; `environment` says how they are reached.
    pub(crate) async fn open_with(
        database: TestDatabase,
        redis: Redis,
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let mut all = vec![
            ("ADMIN_TOKEN", TOKEN),
            ("RUST_LOG", "info"),
            ("LOG_FORMAT", "pretty"),
        ];
        if environment.iter().all(|(key, _)| *key != "DATABASE_URL") {
            all.push(("DATABASE_URL", database.url()));
        }
        all.extend(environment);
        let service = spawn_service(env!("CARGO_BIN_EXE_product-service"), &all).await?;
        let shop = Self {
            service,
            redis,
            client: Client::new(),
        };
        shop.wait_ready().await?;
        Ok(shop)
    }

    /// Until the stores are reached, the cache included.
    pub(crate) async fn wait_ready(&self) -> Result<()> {
        eventually("the service is ready", || async {
            let answer = self.get("/ready").await?;
            ensure!(answer.status == 200, "{answer:?}");
            let redis = &answer.body["dependencies"]["redis"]["status"];
            ensure!(redis == "ok", "{answer:?}");
            Ok(())
        })
        .await
        .with_context(|| self.service.log())
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.service.base_url()))
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer> {
        Answer::of(self.request(Method::GET, path)).await
    }

    /// A call with the admin token.
    pub(crate) async fn admin(&self, method: Method, path: &str, body: &Value) -> Result<Answer> {
        Answer::of(self.request(method, path).bearer_auth(TOKEN).json(body)).await
    }

    pub(crate) async fn create(&self, id: &str, stock: i64) -> Result<()> {
        let product = json!({"id": id, "name": id, "category": "tests", "price_cents": 1_000, "stock": stock});
        self.admin(Method::POST, "/products", &product)
            .await?
            .is(201);
        Ok(())
    }

    pub(crate) async fn stock(&self, id: &str) -> Result<i64> {
        let answer = self.get(&format!("/products/{id}")).await?.is(200);
        answer.body["stock"].as_i64().context("a stock")
    }

    pub(crate) async fn reserve(&self, order: Uuid, items: &[(&str, i64)]) -> Result<Answer> {
        let items: Vec<Value> = items
            .iter()
            .map(|(id, quantity)| json!({"product_id": id, "quantity": quantity}))
            .collect();
        let request = self.request(Method::PUT, &format!("/reservations/{order}"));
        Answer::of(request.json(&json!({"items": items}))).await
    }

    pub(crate) async fn release(&self, order: Uuid) -> Result<()> {
        Answer::of(self.request(Method::DELETE, &format!("/reservations/{order}")))
            .await?
            .is(204);
        Ok(())
    }
}
