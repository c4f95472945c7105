//! Walking through lists.

use std::collections::HashSet;

use anyhow::{Context, Result, ensure};

use crate::areas::area;
use crate::shop::{list, text};
use crate::{Area, Shop, eventually};

pub(super) fn area() -> Area {
    area!("paging":
        "every product is met once, whatever the page size" => walk,
        "a search is walked through like the whole" => walk_search,
        "a bad limit is refused, naming it" => limits,
        "a cursor that is made up or altered is 400" => tampered,
        "a cursor of another query is 400" => other_query,
        "an unknown or repeated parameter does no harm" => odd_parameters,
    )
}

/// The ids of a whole list, page by page.
async fn ids(shop: &Shop, query: &str, limit: usize) -> Result<Vec<String>> {
    const MOST_PAGES: usize = 10_000;
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    for _ in 0..MOST_PAGES {
        let page = shop
            .get(&format!("/api/products?limit={limit}{query}{cursor}"))
            .await?
            .is(200)?
            .json()?;
        let items = list(&page, "items")?;
        ensure!(
            items.len() <= limit,
            "{} items on a page of {limit}",
            items.len()
        );
        for item in items {
            ids.push(text(item, "id")?.to_owned());
        }
        match page["next_cursor"].as_str() {
            Some(next) => {
                ensure!(!items.is_empty(), "an empty page with a next one");
                ensure!(
                    next.bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)),
                    "cursor {next:?}"
                );
                cursor = format!("&cursor={next}");
            }
            None => return Ok(ids),
        }
    }
    anyhow::bail!("the list does not end")
}

async fn walk(shop: &Shop) -> Result<()> {
    // Again when a product comes or goes in between.
    eventually(|| async {
        let whole = ids(shop, "", 100).await?;
        let distinct: HashSet<&String> = whole.iter().collect();
        ensure!(distinct.len() == whole.len(), "a product is met twice");
        ensure!(
            ["1", "2", "3"]
                .iter()
                .all(|known| whole.iter().any(|id| id == known)),
            "products 1 to 3 are not met"
        );
        ensure!(
            ids(shop, "", 7).await? == whole,
            "pages of 7 give another list than pages of 100"
        );
        Ok(())
    })
    .await
}

async fn walk_search(shop: &Shop) -> Result<()> {
    eventually(|| async {
        let whole = ids(shop, "&q=a", 100).await?;
        ensure!(whole.len() > 3, "the letter a is in few products");
        ensure!(
            ids(shop, "&q=a", 3).await? == whole,
            "pages of 3 give another list than pages of 100"
        );
        Ok(())
    })
    .await
}

async fn limits(shop: &Shop) -> Result<()> {
    shop.get("/api/products?limit=100").await?.is(200)?;
    shop.get("/api/products?limit=1").await?.is(200)?;
    for bad in ["0", "101", "-1", "1.5", "many", "99999999999999999999", ""] {
        let answer = shop.get(&format!("/api/products?limit={bad}")).await?;
        let problem = answer.problem(&[400, 422])?;
        ensure!(
            problem.to_string().contains("limit"),
            "{answer}: does not name the parameter"
        );
    }
    Ok(())
}

async fn first_cursor(shop: &Shop, query: &str) -> Result<String> {
    let page = shop
        .get(&format!("/api/products?limit=2{query}"))
        .await?
        .is(200)?
        .json()?;
    Ok(page["next_cursor"]
        .as_str()
        .context("more than 2 products")?
        .to_owned())
}

async fn tampered(shop: &Shop) -> Result<()> {
    let cursor = first_cursor(shop, "").await?;
    let made_up = [
        "x",
        "AAAA",
        "%00",
        "%ff",
        "bnVsbA",
        "..%2f",
        "=",
        &"A".repeat(5_000),
    ]
    .map(String::from);
    let altered = (0..cursor.len()).map(|at| {
        let other = if cursor.as_bytes()[at] == b'A' {
            "B"
        } else {
            "A"
        };
        format!("{}{other}{}", &cursor[..at], &cursor[at + 1..])
    });
    let cut = [
        cursor[..cursor.len() - 1].to_owned(),
        format!("{cursor}A"),
        format!("{cursor}{cursor}"),
    ];
    for bad in made_up.into_iter().chain(altered).chain(cut) {
        let path = format!("/api/products?limit=2&cursor={bad}");
        shop.get(&path).await?.problem(&[400, 414])?;
    }
    Ok(())
}

async fn other_query(shop: &Shop) -> Result<()> {
    let cursor = first_cursor(shop, "").await?;
    shop.get(&format!("/api/products?limit=5&cursor={cursor}"))
        .await?
        .is(200)?;
    shop.get(&format!("/api/products?q=keyboard&cursor={cursor}"))
        .await?
        .problem(&[400])?;
    shop.get(&format!(
        "/api/products?category=no-such-category&cursor={cursor}"
    ))
    .await?
    .problem(&[400])?;
    Ok(())
}

async fn odd_parameters(shop: &Shop) -> Result<()> {
    for query in [
        "utm_source=x",
        "limit=2&limit=3",
        "q=%00",
        "category=%00",
        "q=%ff",
        "q=%",
        "&&&",
        "=",
        "q",
    ] {
        let answer = shop.get(&format!("/api/products?{query}")).await?;
        if answer.code != 200 {
            answer.problem(&[400, 422])?;
        }
    }
    let over_long = format!("/api/products?q={}", "x".repeat(2_000));
    shop.get(&over_long).await?.problem(&[400, 414, 422])?;
    Ok(())
}
