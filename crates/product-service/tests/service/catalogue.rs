//! Reading the catalogue.

use crate::shop::{Answer, Shop};
use anyhow::Result;
use reqwest::Method;
use serde_json::Value;
use std::collections::BTreeSet;

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect()
}

async fn walk(shop: &Shop, query: &str, limit: usize) -> Result<Vec<String>> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = shop
            .get(&format!("/products?limit={limit}{query}{cursor}"))
            .await?
            .is(200)
            .body;
        all.extend(ids(&page));
        match page["next_cursor"].as_str() {
            Some(next) => {
                assert_eq!(page["items"].as_array().unwrap().len(), limit);
                cursor = format!("&cursor={next}");
            }
            None => return Ok(all),
        }
    }
}

#[tokio::test]
async fn a_visitor_walks_searches_and_reads() -> Result<()> {
    let shop = Shop::open().await?;

    // The walk meets every product once, in bytewise order, whatever the page size.
    let whole = walk(&shop, "", 100).await?;
    let distinct: BTreeSet<_> = whole.iter().cloned().collect();
    assert!(whole.len() >= 220);
    assert_eq!(whole, distinct.into_iter().collect::<Vec<_>>());
    assert_eq!(walk(&shop, "", 7).await?, whole);

    // A list carries no stock, a product does, and its tag is version and stock.
    let list = shop.get("/products?limit=3").await?.is(200);
    assert_eq!(ids(&list.body), ["1", "2", "3"]);
    assert!(list.body["items"][0].get("stock").is_none());
    let laptop = shop.get("/products/1").await?.is(200);
    assert_eq!(
        (&laptop.body["name"], &laptop.body["price_cents"]),
        (&"Laptop".into(), &99_999.into())
    );
    assert_eq!(
        (&laptop.body["stock"], &laptop.body["currency"]),
        (&50.into(), &"USD".into())
    );
    assert_eq!(laptop.header("etag"), r#""1.50""#);
    assert_eq!(laptop.header("content-type"), "application/json");

    // The second read comes from the cache; an unknown product is remembered too.
    assert_eq!(laptop.x_cache(), "miss");
    assert_eq!(shop.get("/products/1").await?.is(200).x_cache(), "hit");
    assert_eq!(shop.get("/products?limit=3").await?.x_cache(), "hit");
    for told in ["miss", "hit"] {
        let unknown = shop.get("/products/no-such-product").await?;
        assert_eq!(unknown.x_cache(), told);
        unknown.problem(404, "not-found");
    }

    // Who has the current state is told so.
    for condition in [r#""1.50""#, r#"W/"1.50""#, r#""0.0", "1.50""#, "*"] {
        let request = shop
            .request(Method::GET, "/products/1")
            .header("if-none-match", condition);
        let answer = Answer::of(request).await?.is(304);
        assert_eq!(
            (answer.header("etag"), &answer.body),
            (r#""1.50""#, &Value::Null)
        );
    }
    let request = shop
        .request(Method::GET, "/products/1")
        .header("if-none-match", r#""1.49""#);
    Answer::of(request).await?.is(200);
    Ok(())
}

#[tokio::test]
async fn a_search_takes_words_in_any_case_and_order_and_no_wildcards() -> Result<()> {
    let shop = Shop::open().await?;
    let found = walk(&shop, "&q=MECHANICAL%20keyboard", 100).await?;
    assert!(found.contains(&"keyboard-60".to_owned()) && !found.contains(&"3".to_owned()));
    assert_eq!(walk(&shop, "&q=keyboard+mechanical", 2).await?, found);
    let found = walk(&shop, "&q=60%20%25", 100).await?;
    assert!(found.contains(&"keyboard-60".to_owned()), "60 %: {found:?}");
    assert_eq!(
        walk(&shop, "&q=%25%25%25", 100).await?,
        Vec::<String>::new()
    );
    assert_eq!(
        walk(&shop, "&q='%20OR%201=1%20--", 100).await?,
        Vec::<String>::new()
    );

    let mice = walk(&shop, "&category=mice", 5).await?;
    assert!(mice.len() > 10 && mice.contains(&"2".to_owned()));
    let silent = walk(&shop, "&category=mice&q=silent", 5).await?;
    assert_eq!(silent, ["mouse-silent"]);
    assert_eq!(
        walk(&shop, "&category=Mice", 5).await?,
        Vec::<String>::new()
    );
    Ok(())
}
