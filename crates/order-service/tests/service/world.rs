//! What a test works with: one order-service (or two) and everything it depends on.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use test_support::{
    FaultProxy, Redis, Service, TestDatabase, build_binaries, eventually, postgres, spawn_service,
};
use tokio::{sync::OnceCell, task::JoinHandle};

use crate::answer::Answer;

pub(crate) const ADMIN: &str = "test-admin-token";

/// The one product-service of this test binary; every test sells products of its own.
struct Catalogue {
    service: Service,
    _redis: Redis,
}

static CATALOGUE: OnceCell<Catalogue> = OnceCell::const_new();

async fn catalogue() -> Result<&'static Catalogue> {
    CATALOGUE
        .get_or_try_init(|| async {
            let programs = tokio::task::spawn_blocking(build_binaries).await??;
            let database = postgres().await?.empty_database().await?;
            let redis = Redis::start().await?;
            let environment = [
                ("DATABASE_URL", database.url()),
                ("REDIS_URL", &redis.url()),
                ("ADMIN_TOKEN", ADMIN),
                ("INSTANCE_ID", "product"),
            ];
            let service = spawn_service(programs.join("product-service"), &environment).await?;
            until_ready(&service).await?;
            Ok(Catalogue {
                service,
                _redis: redis,
            })
        })
        .await
}

async fn until_ready(service: &Service) -> Result<()> {
    let url = format!("{}/ready", service.base_url());
    eventually("the service is ready", || async {
        Ok(reqwest::get(&url).await?.error_for_status().map(drop)?)
    })
    .await
    .with_context(|| service.log())
}

pub(crate) struct World {
    pub(crate) http: reqwest::Client,
    pub(crate) orders: Service,
    pub(crate) to_products: FaultProxy,
    pub(crate) to_postgres: FaultProxy,
    pub(crate) redis: Redis,
    pub(crate) database: TestDatabase,
    environment: Vec<(String, String)>,
}

impl World {
    pub(crate) async fn new() -> Result<Self> {
        Self::with(&[]).await
    }

    /// `extra` is added to order-service's environment.
    pub(crate) async fn with(extra: &[(&str, &str)]) -> Result<Self> {
        let world = Self::unready(extra).await?;
        until_ready(&world.orders).await?;
        Ok(world)
    }

    /// Does not wait until order-service is ready.
    pub(crate) async fn unready(extra: &[(&str, &str)]) -> Result<Self> {
        let server = postgres().await?;
        let database = server.database(&order_service::store::MIGRATOR).await?;
        let redis = Redis::start().await?;
        let to_products = FaultProxy::start(catalogue().await?.service.address()).await?;
        let to_postgres = FaultProxy::start(server.address()).await?;
        let mut environment = vec![
            (
                "DATABASE_URL".to_owned(),
                server.tcp_url(to_postgres.address(), database.name()),
            ),
            ("REDIS_URL".to_owned(), redis.url()),
            (
                "PRODUCT__URL".to_owned(),
                format!("http://{}", to_products.address()),
            ),
            ("ADMIN_TOKEN".to_owned(), ADMIN.to_owned()),
            ("ORDERS__RECOVERY_INTERVAL_MS".to_owned(), "20".to_owned()),
        ];
        for &(key, value) in extra {
            environment.retain(|(name, _)| name != key);
            environment.push((key.to_owned(), value.to_owned()));
        }
        let orders = spawn(&environment).await?;
        Ok(Self {
            http: client(),
            orders,
            to_products,
            to_postgres,
            redis,
            database,
            environment,
        })
    }

    /// Kills order-service as a crash would.
    pub(crate) fn crash(&self) {
        self.orders.kill();
    }

    /// Starts order-service again, on another address.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        self.orders = spawn(&self.environment).await?;
        until_ready(&self.orders).await
    }

    /// Another replica.
    pub(crate) async fn replica(&self) -> Result<Service> {
        let service = spawn(&self.environment).await?;
        until_ready(&service).await?;
        Ok(service)
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.orders.base_url()))
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer> {
        Answer::of(self.request(Method::GET, path)).await
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Answer> {
        Answer::of(request).await
    }

    /// Places an order of the lines under the key.
    pub(crate) async fn place(&self, key: &str, items: &[(&str, i64)]) -> Result<Answer> {
        self.place_at(&self.orders, key, items).await
    }

    pub(crate) async fn place_at(
        &self,
        service: &Service,
        key: &str,
        items: &[(&str, i64)],
    ) -> Result<Answer> {
        let request = self.http.post(format!("{}/orders", service.base_url()));
        Answer::of(
            request
                .header("idempotency-key", key)
                .json(&order_of("ada", items)),
        )
        .await
    }

    /// Places an order in the background.
    pub(crate) fn start_placing(
        &self,
        key: &str,
        items: &[(&str, i64)],
    ) -> JoinHandle<Result<Answer>> {
        let request = self
            .request(Method::POST, "/orders")
            .header("idempotency-key", key);
        tokio::spawn(Answer::of(request.json(&order_of("ada", items))))
    }

    pub(crate) async fn cancel(&self, id: &str) -> Result<Answer> {
        Answer::of(self.request(Method::POST, &format!("/orders/{id}/cancel"))).await
    }

    /// Lists a new product with this many in stock at 29.99; its id.
    pub(crate) async fn product(&self, stock: i64) -> Result<String> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let id = format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.list_product(&id, stock).await?;
        Ok(id)
    }

    pub(crate) async fn list_product(&self, id: &str, stock: i64) -> Result<()> {
        let url = format!("{}/products", catalogue().await?.service.base_url());
        let body = json!({"id": id, "name": format!("Thing {id}"), "category": "Tests", "price_cents": 2_999, "stock": stock});
        let answer = Answer::of(self.http.post(url).bearer_auth(ADMIN).json(&body)).await?;
        ensure!(answer.status == 201, "{answer:?}");
        Ok(())
    }

    /// How many of a product product-service has left.
    pub(crate) async fn stock(&self, id: &str) -> Result<i64> {
        let url = format!("{}/products/{id}", catalogue().await?.service.base_url());
        let product: Value = self
            .http
            .get(url)
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        product["stock"].as_i64().context("stock")
    }

    pub(crate) async fn stock_becomes(&self, id: &str, stock: i64) -> Result<()> {
        eventually(&format!("{stock} of {id} are left"), || async {
            let now = self.stock(id).await?;
            ensure!(now == stock, "there are {now}");
            Ok(())
        })
        .await
    }

    /// Waits until an order has this status; the order.
    pub(crate) async fn order_becomes(&self, id: &str, status: &str) -> Result<Value> {
        eventually(&format!("the order is {status}"), || async {
            let answer = self.get(&format!("/orders/{id}")).await?;
            ensure!(
                answer.status == 200 && answer.body["status"] == status,
                "{answer:?}"
            );
            Ok(answer.body)
        })
        .await
        .with_context(|| self.orders.log())
    }

    /// Waits until an undecided order is stored, whatever order-service says; its id.
    pub(crate) async fn stored_as(&self, status: &str) -> Result<String> {
        let query = "SELECT id::text FROM orders WHERE status = $1";
        eventually(&format!("an order is stored as {status}"), || async {
            Ok(sqlx::query_scalar(query)
                .bind(status)
                .fetch_one(&mut self.sql().await?)
                .await?)
        })
        .await
    }

    /// One number from the database.
    pub(crate) async fn count(&self, query: &'static str) -> Result<i64> {
        Ok(sqlx::query_scalar(query)
            .fetch_one(&mut self.sql().await?)
            .await?)
    }

    /// A connection past the proxy.
    pub(crate) async fn sql(&self) -> Result<sqlx::PgConnection> {
        Ok(<sqlx::PgConnection as sqlx::Connection>::connect(self.database.url()).await?)
    }
}

pub(crate) fn order_of(customer: &str, items: &[(&str, i64)]) -> Value {
    let items: Vec<_> = items
        .iter()
        .map(|(id, quantity)| json!({"product_id": id, "quantity": quantity}))
        .collect();
    json!({"customer_id": customer, "items": items})
}

async fn spawn(environment: &[(String, String)]) -> Result<Service> {
    let environment: Vec<_> = environment
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    spawn_service(env!("CARGO_BIN_EXE_order-service"), &environment).await
}

fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a plain client needs nothing")
}
