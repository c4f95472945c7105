//! Without Redis the shop is slower, never wrong and never down.

use crate::shop::Shop;
use anyhow::{Result, ensure};
use test_support::{FaultProxy, Mode, Redis, eventually, postgres};
use uuid::Uuid;

#[tokio::test]
async fn redis_is_killed_and_comes_back() -> Result<()> {
    let mut shop = Shop::open().await?;
    shop.get("/products/1").await?.is(200);
    assert_eq!(shop.get("/products/1").await?.x_cache(), "hit");

    shop.redis.kill();
    for path in ["/products/1", "/products", "/products/1"] {
        assert_eq!(shop.get(path).await?.is(200).x_cache(), "bypass");
    }
    shop.get("/products/none").await?.problem(404, "not-found");
    shop.reserve(Uuid::now_v7(), &[("1", 5)]).await?.is(200);
    assert_eq!(shop.stock("1").await?, 45);
    let ready = shop.get("/ready").await?.is(200);
    assert_eq!(ready.body["dependencies"]["redis"]["status"], "failed");

    shop.redis.restart().await?;
    eventually("the cache is used again", || async {
        let answer = shop.get("/products/1").await?;
        ensure!(
            answer.body["stock"] == 45 && answer.x_cache() == "hit",
            "{answer:?}"
        );
        Ok(())
    })
    .await?;
    let complaints = shop.service.log().matches("the cache failed").count();
    assert_eq!(complaints, 1, "{}", shop.service.log());
    Ok(())
}

#[tokio::test]
async fn what_redis_kept_over_an_outage_is_never_shown() -> Result<()> {
    let redis = Redis::start().await?;
    let mut proxy = FaultProxy::start(redis.address()).await?;
    let url = format!("redis://{}", proxy.address());
    let database = postgres().await?.empty_database().await?;
    let environment = [("REDIS_URL", url.as_str()), ("CACHE__TIMEOUT_MS", "5000")];
    let shop = Shop::open_with(database, redis, &environment).await?;
    for told in ["miss", "hit"] {
        assert_eq!(shop.get("/products/2").await?.x_cache(), told);
    }

    proxy.set(Mode::Refuse).await?;
    shop.reserve(Uuid::now_v7(), &[("2", 1)]).await?.is(200);
    proxy.set(Mode::Forward).await?;
    eventually("the cache is used again", || async {
        let answer = shop.get("/products/2").await?;
        assert_eq!(
            answer.body["stock"], 199,
            "every read on the way back is new"
        );
        ensure!(answer.x_cache() == "hit");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_reader_never_sees_an_old_stock_while_it_is_being_sold() -> Result<()> {
    let shop = Shop::open().await?;
    shop.create("hot", 60).await?;
    let selling = async {
        for left in (0..60).rev() {
            shop.reserve(Uuid::now_v7(), &[("hot", 1)]).await?.is(200);
            assert_eq!(
                shop.stock("hot").await?,
                left,
                "the seller reads its own sale"
            );
        }
        anyhow::Ok(())
    };
    let watching = async {
        let mut last = 60;
        while last > 0 {
            let now = shop.stock("hot").await?;
            assert!(now <= last, "stock went back from {last} to {now}");
            last = now;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(selling, watching)?;
    Ok(())
}
