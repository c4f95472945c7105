//! The cache by itself: whoever is late never brings back what is old.

use anyhow::Result;
use product_service::cache::{Cache, Entry, Got, Times, Touched};
use product_service::domain::ProductId;
use std::sync::Arc;
use std::time::Duration;
use test_support::{FaultProxy, Mode, Redis, eventually};

const TIMES: Times = Times {
    ttl: Duration::from_secs(60),
    absent_ttl: Duration::from_secs(60),
    timeout: Duration::from_secs(5),
};

fn id() -> ProductId {
    ProductId::try_from("lamp".to_owned()).unwrap()
}

fn answer(body: &'static str) -> Entry {
    Entry::Answer {
        etag: "1.1".into(),
        body: body.into(),
    }
}

fn product_at(revision: i64) -> Touched {
    Touched {
        products: vec![("lamp".into(), revision)],
        catalogue: None,
    }
}

fn catalogue_at(revision: i64) -> Touched {
    Touched {
        products: vec![],
        catalogue: Some(revision),
    }
}

/// A cache that is kept connected, once it is.
async fn connected(url: &str, times: Times) -> Result<Arc<Cache>> {
    let cache = Arc::new(Cache::new(url, times, "USD")?);
    let keeper = Arc::clone(&cache);
    tokio::spawn(async move { keeper.keep(|_| ()).await });
    back(&cache).await?;
    Ok(cache)
}

async fn back(cache: &Cache) -> Result<()> {
    eventually("the cache is connected", || async {
        anyhow::ensure!(cache.product(&id()).await != Got::Bypass);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_slow_reader_cannot_store_what_it_read_before_a_change() -> Result<()> {
    let redis = Redis::start().await?;
    let cache = connected(&redis.url(), TIMES).await?;
    let id = id();
    assert_eq!(cache.product(&id).await, Got::Miss);

    // Read at revision 1, and stored late: after revision 2 was announced.
    cache.announce(&product_at(2)).await;
    cache.fill_product(&id, 1, &answer("old")).await;
    assert_eq!(cache.product(&id).await, Got::Miss);
    // Read after the commit: let in, and not taken away by a late announcement or a reader later still.
    cache.fill_product(&id, 2, &answer("new")).await;
    cache.announce(&product_at(1)).await;
    cache.fill_product(&id, 1, &answer("old")).await;
    assert_eq!(cache.product(&id).await, Got::Hit(answer("new")));

    // Nor can a product that was read as missing hide its creation.
    cache.announce(&product_at(3)).await;
    cache.fill_product(&id, 0, &Entry::Absent).await;
    assert_eq!(cache.product(&id).await, Got::Miss);
    cache.fill_product(&id, 3, &Entry::Absent).await;
    assert_eq!(cache.product(&id).await, Got::Hit(Entry::Absent));
    Ok(())
}

#[tokio::test]
async fn a_page_holds_for_its_revision_of_the_catalogue() -> Result<()> {
    let redis = Redis::start().await?;
    let cache = connected(&redis.url(), TIMES).await?;
    cache.fill_page("all", 4, &answer("four")).await;
    cache.fill_page("some", 4, &answer("some")).await;
    assert_eq!(cache.page("all").await, Got::Hit(answer("four")));
    // One announcement ends every page; a page read before it cannot come back.
    cache.announce(&catalogue_at(5)).await;
    assert_eq!(
        (cache.page("all").await, cache.page("some").await),
        (Got::Miss, Got::Miss)
    );
    cache.fill_page("all", 4, &answer("four")).await;
    assert_eq!(cache.page("all").await, Got::Miss);
    cache.fill_page("all", 5, &answer("five")).await;
    assert_eq!(cache.page("all").await, Got::Hit(answer("five")));
    assert_eq!(cache.page("some").await, Got::Miss);
    Ok(())
}

#[tokio::test]
async fn an_entry_of_another_currency_or_of_nobody_is_a_miss() -> Result<()> {
    let redis = Redis::start().await?;
    let cache = connected(&redis.url(), TIMES).await?;
    let euros = Cache::new(&redis.url(), TIMES, "EUR")?;
    cache.fill_product(&id(), 1, &answer("dollars")).await;
    let asking = async {
        eventually("the other cache is connected", || async {
            anyhow::ensure!(euros.product(&id()).await == Got::Miss);
            Ok(())
        })
        .await
    };
    tokio::select! {
        () = euros.keep(|_| ()) => unreachable!("it is kept for ever"),
        asked = asking => asked?,
    }
    redis.command("SET product:item:lamp nonsense").await?;
    assert_eq!(cache.product(&id()).await, Got::Miss);
    cache.fill_product(&id(), 1, &answer("dollars")).await;
    assert_eq!(cache.product(&id()).await, Got::Hit(answer("dollars")));
    Ok(())
}

#[tokio::test]
async fn a_change_made_while_redis_was_away_is_announced_before_it_is_used_again() -> Result<()> {
    let redis = Redis::start().await?;
    let mut proxy = FaultProxy::start(redis.address()).await?;
    let url = format!("redis://{}", proxy.address());
    let (cache, sibling) = (connected(&url, TIMES).await?, connected(&url, TIMES).await?);
    cache.fill_product(&id(), 1, &answer("old")).await;
    assert_eq!(cache.product(&id()).await, Got::Hit(answer("old")));

    proxy.set(Mode::Refuse).await?;
    assert_eq!(sibling.product(&id()).await, Got::Bypass);
    cache.announce(&product_at(2)).await;
    assert_eq!(cache.product(&id()).await, Got::Bypass);
    proxy.set(Mode::Forward).await?;
    // Redis kept the old value over the outage; nobody gets to see it.
    assert!(
        redis
            .command("GET product:item:lamp")
            .await?
            .starts_with('$')
    );
    // Nor does the sibling, which owes nothing itself, and may well be back first.
    back(&sibling).await?;
    assert_eq!(sibling.product(&id()).await, Got::Miss);
    back(&cache).await?;
    assert_eq!(cache.product(&id()).await, Got::Miss);
    Ok(())
}

#[tokio::test]
async fn a_redis_that_hangs_costs_one_time_out() -> Result<()> {
    let redis = Redis::start().await?;
    let mut proxy = FaultProxy::start(redis.address()).await?;
    let times = Times {
        timeout: Duration::from_millis(300),
        ..TIMES
    };
    let cache = connected(&format!("redis://{}", proxy.address()), times).await?;
    proxy.set(Mode::Blackhole { after: 0 }).await?;
    assert_eq!(cache.product(&id()).await, Got::Bypass);
    // From here on nobody waits: far more lookups than time-outs would fit.
    let many = async {
        for _ in 0..1_000 {
            assert_eq!(cache.product(&id()).await, Got::Bypass);
        }
    };
    tokio::time::timeout(Duration::from_secs(20), many).await?;
    Ok(())
}
