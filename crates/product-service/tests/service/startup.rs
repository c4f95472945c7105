//! From nothing to a shop.

use crate::shop::{Answer, Shop, TOKEN};
use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::json;
use test_support::{FaultProxy, Mode, Redis, eventually, postgres, spawn_service};

const PROGRAM: &str = env!("CARGO_BIN_EXE_product-service");

#[tokio::test]
async fn a_database_that_is_late_is_waited_for() -> Result<()> {
    let server = postgres().await?;
    let database = server.empty_database().await?;
    let mut proxy = FaultProxy::start(server.address()).await?;
    proxy.set(Mode::Refuse).await?;
    let url = server.tcp_url(proxy.address(), database.name());
    let redis = Redis::start().await?;
    let redis_url = redis.url();
    let service = spawn_service(
        PROGRAM,
        &[("DATABASE_URL", &url), ("REDIS_URL", &redis_url)],
    )
    .await?;
    let get = |path: &str| {
        let url = format!("{}{path}", service.base_url());
        async move { Answer::of(reqwest::Client::new().get(url)).await }
    };
    get("/health").await?.is(200);
    get("/ready").await?.is(503);
    get("/started").await?.is(503);
    let waiting = get("/products/1").await?;
    assert_eq!(waiting.header("retry-after"), "1");
    waiting.problem(503, "unavailable");

    proxy.set(Mode::Forward).await?;
    let ready = |status: u16| {
        let get = &get;
        eventually("readiness changes", move || async move {
            let answer = get("/ready").await?;
            ensure!(answer.status == status, "{answer:?}");
            Ok(())
        })
    };
    ready(200).await?;
    get("/products/1").await?.is(200);

    // An outage later on: unready, but started, alive, and what is cached is still shown.
    proxy.set(Mode::Refuse).await?;
    ready(503).await?;
    get("/started").await?.is(200);
    get("/products/1").await?.is(200);
    proxy.set(Mode::Forward).await?;
    ready(200).await?;
    assert!(service.is_running());
    assert_eq!(service.term().await?, 0);
    Ok(())
}

#[tokio::test]
async fn replicas_share_one_seed_and_what_was_deleted_stays_deleted() -> Result<()> {
    let database = postgres().await?.empty_database().await?;
    let redis = Redis::start().await?;
    let url = redis.url();
    let environment = [
        ("DATABASE_URL", database.url()),
        ("REDIS_URL", &url),
        ("ADMIN_TOKEN", TOKEN),
    ];
    let (one, two) = tokio::try_join!(
        spawn_service(PROGRAM, &environment),
        spawn_service(PROGRAM, &environment)
    )?;
    let client = reqwest::Client::new();
    for service in [&one, &two] {
        eventually("both are ready", || async {
            let ready = client.get(format!("{}/ready", service.base_url()));
            ensure!(Answer::of(ready).await?.status == 200, "{}", service.log());
            Ok(())
        })
        .await?;
    }
    let product =
        |service: &test_support::Service| format!("{}/products/keyboard-60", service.base_url());
    Answer::of(client.get(product(&one))).await?.is(200);
    Answer::of(client.delete(product(&one)).bearer_auth(TOKEN))
        .await?
        .is(204);
    // The other replica's readers know at once: the cache is shared.
    Answer::of(client.get(product(&two))).await?.is(404);

    let seeded = [&one, &two]
        .iter()
        .filter(|service| service.log().contains("is seeded"))
        .count();
    assert_eq!(seeded, 1);
    let again = Shop::open_with(database, redis, &[("REDIS_URL", &url)]).await?;
    again
        .get("/products/keyboard-60")
        .await?
        .problem(404, "not-found");
    Ok(())
}

#[tokio::test]
async fn the_runtime_role_reads_and_writes_rows_and_nothing_else() -> Result<()> {
    let server = postgres().await?;
    let database = server.empty_database().await?;
    let name = database.name();
    let (owner, runtime) = (format!("{name}_owner"), format!("{name}_runtime"));
    server
        .execute(&format!("CREATE ROLE {owner} LOGIN"))
        .await?;
    server
        .execute(&format!("CREATE ROLE {runtime} LOGIN"))
        .await?;
    server
        .execute(&format!("ALTER DATABASE {name} OWNER TO {owner}"))
        .await?;
    let owner_url = server.url_as(&owner, name);
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&owner_url).await?;
    let grants = format!(
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {runtime}"
    );
    sqlx::Executor::execute(&mut connection, sqlx::AssertSqlSafe(grants)).await?;

    let redis = Redis::start().await?;
    let (url, redis_url) = (server.url_as(&runtime, name), redis.url());
    let environment = [
        ("DATABASE_URL", url.as_str()),
        ("DATABASE__OWNER__URL", &owner_url),
        ("REDIS_URL", &redis_url),
    ];
    let shop = Shop::open_with(database, redis, &environment).await?;
    shop.create("lamp", 3).await?;
    shop.reserve(uuid::Uuid::now_v7(), &[("lamp", 1)])
        .await?
        .is(200);
    shop.admin(Method::DELETE, "/products/lamp", &json!({}))
        .await?
        .is(204);

    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await?;
    for forbidden in [
        "DROP TABLE products",
        "TRUNCATE products",
        "CREATE TABLE t (n int)",
        "ALTER TABLE products ADD n int",
    ] {
        let refused = sqlx::Executor::execute(&mut connection, forbidden)
            .await
            .unwrap_err();
        let code = refused
            .as_database_error()
            .and_then(|error| error.code())
            .unwrap_or_default();
        assert_eq!(code, "42501", "{forbidden}: {refused}");
    }
    Ok(())
}

#[tokio::test]
async fn without_a_token_nobody_changes_anything() -> Result<()> {
    let database = postgres().await?.empty_database().await?;
    let redis = Redis::start().await?;
    let url = redis.url();
    let shop =
        Shop::open_with(database, redis, &[("REDIS_URL", &url), ("ADMIN_TOKEN", "")]).await?;
    shop.admin(Method::DELETE, "/products/1", &json!({}))
        .await?
        .problem(403, "forbidden");
    Ok(())
}
