//! Reading the catalogue.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::areas::area;
use crate::shop::{integer, list, text, utc_time};
use crate::{Answer, Area, Shop, eventually};

pub(super) fn area() -> Area {
    area!("products":
        "the three known products have their names and prices" => known_products,
        "a product has its shape and an ETag of version and stock" => shape,
        "the list has its shape and carries no stock" => list_shape,
        "a matching If-None-Match is answered 304" => not_modified,
        "x-cache tells hit, miss or bypass; a repeated read is a hit" => cache,
        "an unknown product is 404" => unknown,
        "search finds by words, in any case" => search,
        "search takes wildcards and quotes as they are" => literal_search,
        "a category filters, an unknown one is empty" => category,
    )
}

async fn known_products(shop: &Shop) -> Result<()> {
    for (id, name, cents) in [
        ("1", "Laptop", 99_999),
        ("2", "Mouse", 2_999),
        ("3", "Keyboard", 7_999),
    ] {
        let product = shop.product(id).await?;
        ensure!(
            product["name"] == name && product["price_cents"] == cents,
            "{product}"
        );
    }
    Ok(())
}

fn is_product(product: &Value, with_stock: bool) -> Result<()> {
    let mut fields = vec![
        "category",
        "currency",
        "description",
        "id",
        "name",
        "price_cents",
        "updated_at",
        "version",
    ];
    if with_stock {
        fields.push("stock");
        ensure!(integer(product, "stock")? >= 0, "{product}");
    }
    fields.sort_unstable();
    let mut found: Vec<&str> = product
        .as_object()
        .context("an object")?
        .keys()
        .map(String::as_str)
        .collect();
    found.sort_unstable();
    ensure!(found == fields, "fields {found:?}, expected {fields:?}");
    for field in ["id", "name", "category"] {
        ensure!(
            !text(product, field)?.is_empty(),
            "{product}: an empty {field}"
        );
    }
    text(product, "description")?;
    let currency = text(product, "currency")?;
    ensure!(
        currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_uppercase()),
        "currency {currency:?}"
    );
    ensure!(
        integer(product, "price_cents")? >= 0 && integer(product, "version")? >= 1,
        "{product}"
    );
    utc_time(product, "updated_at")
}

async fn shape(shop: &Shop) -> Result<()> {
    let answer = shop.get("/api/products/1").await?;
    let product = answer.is(200)?.json()?;
    is_product(&product, true)?;
    let expected = format!("\"{}.{}\"", product["version"], product["stock"]);
    ensure!(
        answer.need("etag")? == expected,
        "{answer}: ETag {:?}, expected {expected}",
        answer.header("etag")
    );
    Ok(())
}

async fn list_shape(shop: &Shop) -> Result<()> {
    let page = shop.get("/api/products").await?.is(200)?.json()?;
    ensure!(
        page.as_object().is_some_and(|page| page.len() == 2),
        "items and next_cursor, found {page}"
    );
    let items = list(&page, "items")?;
    ensure!(
        items.len() <= 20,
        "{} items, 20 are the default",
        items.len()
    );
    ensure!(
        page["next_cursor"].is_string() == (items.len() == 20) || page["next_cursor"].is_null(),
        "{page}"
    );
    items.iter().try_for_each(|item| is_product(item, false))
}

async fn not_modified(shop: &Shop) -> Result<()> {
    // A sale between two of these requests changes the tag, so the whole is tried again.
    eventually(|| async {
        let etag = shop.get("/api/products/1").await?.need("etag")?.to_owned();
        for matching in [
            etag.clone(),
            format!("W/{etag}"),
            format!("\"other\", {etag}"),
            "*".to_owned(),
        ] {
            let answer = shop
                .get_with("/api/products/1", &[("if-none-match", &matching)])
                .await?;
            answer
                .is(304)
                .with_context(|| format!("If-None-Match: {matching}"))?;
            ensure!(
                answer.body.is_empty() && answer.need("etag")? == etag,
                "{answer}: 304 has the ETag and no body"
            );
        }
        for other in ["\"0.0\"", "nonsense", "\"", ""] {
            let answer = shop
                .get_with("/api/products/1", &[("if-none-match", other)])
                .await?;
            answer
                .is(200)
                .with_context(|| format!("If-None-Match: {other}"))?;
        }
        Ok(())
    })
    .await
}

async fn cache(shop: &Shop) -> Result<()> {
    let told = |answer: &Answer| -> Result<String> {
        let told = answer.need("x-cache")?;
        ensure!(
            ["hit", "miss", "bypass"].contains(&told),
            "{answer}: x-cache {told:?}"
        );
        Ok(told.to_owned())
    };
    for path in [
        "/api/products/1",
        "/api/products",
        "/api/products/no-such-product",
    ] {
        eventually(|| async {
            let told = told(&shop.get(path).await?)?;
            ensure!(told == "hit", "{path}: x-cache stays {told}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

async fn unknown(shop: &Shop) -> Result<()> {
    shop.get("/api/products/no-such-product")
        .await?
        .problem(&[404])?;
    let over_long = "x".repeat(300);
    for odd in [
        over_long.as_str(),
        "-1",
        "1%20",
        "%e2%82%ac",
        "1;DROP%20TABLE%20products",
        "null",
        "1,2",
    ] {
        shop.get(&format!("/api/products/{odd}"))
            .await?
            .problem(&[400, 404, 422])?;
    }
    Ok(())
}

async fn found(shop: &Shop, query: &str) -> Result<Vec<Value>> {
    let page = shop
        .get(&format!("/api/products?limit=100&{query}"))
        .await?
        .is(200)?
        .json()?;
    Ok(list(&page, "items")?.clone())
}

async fn search(shop: &Shop) -> Result<()> {
    let items = found(shop, "q=keyboard").await?;
    ensure!(
        items.iter().any(|item| item["id"] == "3"),
        "a search for keyboard misses product 3"
    );
    for item in &items {
        let all = format!(
            "{} {} {}",
            item["name"], item["category"], item["description"]
        )
        .to_lowercase();
        ensure!(
            all.contains("keyboard"),
            "a search for keyboard finds {item}"
        );
    }
    let ids = |items: &[Value]| {
        items
            .iter()
            .map(|item| item["id"].clone())
            .collect::<Vec<_>>()
    };
    ensure!(
        ids(&found(shop, "q=KeyBoard").await?) == ids(&items),
        "case matters in a search"
    );
    ensure!(
        found(shop, "q=no-product-is-called-this").await?.is_empty(),
        "a search for nonsense finds something"
    );
    Ok(())
}

async fn literal_search(shop: &Shop) -> Result<()> {
    for (query, sign) in [
        ("q=%25", '%'),
        ("q=_", '_'),
        ("q=%5C", '\\'),
        ("q=%27", '\''),
    ] {
        for item in found(shop, query).await? {
            ensure!(item.to_string().contains(sign), "{query} finds {item}");
        }
    }
    ensure!(
        found(shop, "q=%27%20OR%201%3D1%20--").await?.is_empty(),
        "a search is taken for SQL"
    );
    Ok(())
}

async fn category(shop: &Shop) -> Result<()> {
    let keyboard = shop.product("3").await?;
    let category = text(&keyboard, "category")?;
    let mut url = reqwest::Url::parse("http://shop/")?;
    url.query_pairs_mut().append_pair("category", category);
    let items = found(shop, url.query().unwrap_or_default()).await?;
    ensure!(!items.is_empty(), "no product in {category}");
    ensure!(
        items.iter().all(|item| item["category"] == category),
        "{category} holds other categories' products"
    );
    ensure!(
        found(shop, "category=no-such-category").await?.is_empty(),
        "an unknown category holds products"
    );
    Ok(())
}
