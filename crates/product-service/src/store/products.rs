//! The catalogue's rows.

use crate::domain::{self, Category, Cents, Description, Name, ProductId, Stock, Version};
use crate::search::Search;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;

/// A product as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Names it for ever; a deleted product's id is not given again.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// What it is.
    pub description: String,
    /// Where it belongs.
    pub category: String,
    /// Minor units.
    pub price_cents: i64,
    /// Pieces that can be reserved.
    pub stock: i64,
    /// Counts catalogue changes.
    pub version: i64,
    /// Counts all changes; orders cache entries.
    pub revision: i64,
    /// The last catalogue change.
    pub updated_at: OffsetDateTime,
    /// Deleted: kept for the orders that name it and for the caches that must forget it.
    pub deleted: bool,
}

/// The words of a product, checked.
#[derive(Debug, Clone)]
pub struct Card {
    /// What it is called.
    pub name: Name,
    /// What it is.
    pub description: Description,
    /// Where it belongs.
    pub category: Category,
    /// Minor units.
    pub price: Cents,
}

impl Card {
    fn search_text(&self) -> String {
        domain::search_text(
            self.name.as_str(),
            self.category.as_str(),
            self.description.as_str(),
        )
    }
}

/// Reads one product, deleted or not.
///
/// # Errors
/// The database failed.
pub async fn get(pool: &PgPool, id: &ProductId) -> Result<Option<Product>, sqlx::Error> {
    sqlx::query_as!(
        Product,
        r#"SELECT id, name, description, category, price_cents, stock, version, revision, updated_at,
                  deleted_at IS NOT NULL AS "deleted!"
           FROM products WHERE id = $1"#,
        id.as_str()
    )
    .fetch_optional(pool)
    .await
}

/// The catalogue's revision. Read *before* a page, it is never newer than the page.
///
/// # Errors
/// The database failed.
pub async fn revision(pool: &PgPool) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!("SELECT revision FROM catalogue")
        .fetch_one(pool)
        .await
}

/// Up to `limit` products that match, in id order, after `after`. Two statements, so that each has a plan of its own:
/// one walks the primary key, the other the category's index.
///
/// # Errors
/// The database failed.
pub async fn list(
    pool: &PgPool,
    search: &Search,
    after: &str,
    limit: i64,
) -> Result<Vec<Product>, sqlx::Error> {
    let patterns = search.patterns();
    match search.category() {
        None => {
            sqlx::query_as!(
                Product,
                r#"SELECT id, name, description, category, price_cents, stock, version, revision, updated_at,
                          false AS "deleted!"
                   FROM products
                   WHERE deleted_at IS NULL AND id > $1 AND search_text LIKE ALL ($2)
                   ORDER BY id LIMIT $3"#,
                after,
                &patterns,
                limit
            )
            .fetch_all(pool)
            .await
        }
        Some(category) => {
            sqlx::query_as!(
                Product,
                r#"SELECT id, name, description, category, price_cents, stock, version, revision, updated_at,
                          false AS "deleted!"
                   FROM products
                   WHERE deleted_at IS NULL AND category = $4 AND id > $1 AND search_text LIKE ALL ($2)
                   ORDER BY id LIMIT $3"#,
                after,
                &patterns,
                limit,
                category
            )
            .fetch_all(pool)
            .await
        }
    }
}

/// Adds a product; `None`: the id is taken, perhaps by a deleted product.
///
/// # Errors
/// The database failed.
pub async fn insert(
    db: &mut PgConnection,
    id: &ProductId,
    card: &Card,
    stock: Stock,
) -> Result<Option<Product>, sqlx::Error> {
    sqlx::query_as!(
        Product,
        r#"INSERT INTO products (id, name, description, category, search_text, price_cents, stock)
           VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING
           RETURNING id, name, description, category, price_cents, stock, version, revision, updated_at,
                     false AS "deleted!""#,
        id.as_str(),
        card.name.as_str(),
        card.description.as_str(),
        card.category.as_str(),
        card.search_text(),
        card.price.get(),
        stock.get()
    )
    .fetch_optional(db)
    .await
}

/// What came of a change that needs the current version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Updated {
    /// Changed; as it is now.
    Done(Product),
    /// Somebody else changed it first; its version now.
    Stale(i64),
    /// There is no such product.
    Unknown,
}

/// Replaces a product's words and price, when `version` is still the current one. Stock is untouched.
///
/// # Errors
/// The database failed.
pub async fn update(
    db: &mut PgConnection,
    id: &ProductId,
    card: &Card,
    version: Version,
) -> Result<Updated, sqlx::Error> {
    let changed = sqlx::query_as!(
        Product,
        r#"UPDATE products
           SET name = $3, description = $4, category = $5, search_text = $6, price_cents = $7,
               version = version + 1, revision = revision + 1, updated_at = now()
           WHERE id = $1 AND version = $2 AND deleted_at IS NULL
           RETURNING id, name, description, category, price_cents, stock, version, revision, updated_at,
                     false AS "deleted!""#,
        id.as_str(),
        version.get(),
        card.name.as_str(),
        card.description.as_str(),
        card.category.as_str(),
        card.search_text(),
        card.price.get()
    )
    .fetch_optional(&mut *db)
    .await?;
    if let Some(product) = changed {
        return Ok(Updated::Done(product));
    }
    let current = sqlx::query_scalar!(
        "SELECT version FROM products WHERE id = $1 AND deleted_at IS NULL",
        id.as_str()
    )
    .fetch_optional(db)
    .await?;
    Ok(current.map_or(Updated::Unknown, Updated::Stale))
}

/// Takes a product out of the catalogue; its new revision, or `None` when it is not there.
///
/// # Errors
/// The database failed.
pub async fn delete(db: &mut PgConnection, id: &ProductId) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        "UPDATE products
         SET deleted_at = now(), updated_at = now(), version = version + 1, revision = revision + 1
         WHERE id = $1 AND deleted_at IS NULL RETURNING revision",
        id.as_str()
    )
    .fetch_optional(db)
    .await
}

/// Counts a change that list pages can show; the catalogue's new revision. Last in a transaction: the row is shared.
///
/// # Errors
/// The database failed.
pub async fn bump(db: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!("UPDATE catalogue SET revision = revision + 1 RETURNING revision")
        .fetch_one(db)
        .await
}
