//! The catalogue a new deployment starts with. Loaded once: products deleted since do not come back.

use crate::domain::{self, Category, Cents, Description, Name, ProductId, Refused, Stock};
use serde::Deserialize;
use sqlx::{Connection, PgConnection};

/// `id,name,description,category,price_cents,stock`, with a header.
const CSV: &[u8] = include_bytes!("../../seed/products.csv");

/// One line of the file, checked like any other input.
#[derive(Debug, Deserialize)]
pub struct Line {
    /// The product's id.
    pub id: ProductId,
    /// What it is called.
    pub name: Name,
    /// What it is.
    pub description: Description,
    /// Where it belongs.
    pub category: Category,
    /// Minor units.
    pub price_cents: Cents,
    /// Pieces.
    pub stock: Stock,
}

/// Reads the file.
///
/// # Errors
/// A line is not a product; says which.
pub fn lines() -> Result<Vec<Line>, Refused> {
    csv::Reader::from_reader(CSV)
        .deserialize()
        .collect::<Result<_, _>>()
        .map_err(|error| Refused(error.to_string()))
}

/// Loads the seed unless this database was ever seeded; how many products were loaded.
///
/// # Errors
/// The database failed; then nothing was loaded.
pub async fn run(owner: &mut PgConnection) -> Result<usize, sqlx::Error> {
    let mut tx = owner.begin().await?;
    // Of two replicas the second waits here, and then finds it done.
    let first = sqlx::query!(
        "UPDATE catalogue SET seeded_at = now(), revision = revision + 1 WHERE seeded_at IS NULL"
    )
    .execute(&mut *tx)
    .await?
    .rows_affected();
    if first == 0 {
        return Ok(0);
    }
    let lines = lines().expect("a test reads the embedded file");
    let column = |of: fn(&Line) -> &str| {
        lines
            .iter()
            .map(|line| of(line).to_owned())
            .collect::<Vec<_>>()
    };
    let texts: Vec<_> = lines
        .iter()
        .map(|line| {
            domain::search_text(
                line.name.as_str(),
                line.category.as_str(),
                line.description.as_str(),
            )
        })
        .collect();
    let prices: Vec<_> = lines.iter().map(|line| line.price_cents.get()).collect();
    let stocks: Vec<_> = lines.iter().map(|line| line.stock.get()).collect();
    sqlx::query!(
        "INSERT INTO products (id, name, description, category, search_text, price_cents, stock)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[])
         ON CONFLICT (id) DO NOTHING",
        &column(|line| line.id.as_str()),
        &column(|line| line.name.as_str()),
        &column(|line| line.description.as_str()),
        &column(|line| line.category.as_str()),
        &texts,
        &prices,
        &stocks
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_seed_is_a_believable_catalogue() {
        let lines = lines().unwrap();
        let ids: BTreeSet<_> = lines.iter().map(|line| line.id.as_str()).collect();
        let categories: BTreeSet<_> = lines.iter().map(|line| line.category.as_str()).collect();
        assert!(
            lines.len() >= 220 && ids.len() == lines.len(),
            "{} products, {} ids",
            lines.len(),
            ids.len()
        );
        assert!(categories.len() >= 12, "{categories:?}");
        let three: Vec<_> = lines
            .iter()
            .take(3)
            .map(|l| (l.id.as_str(), l.name.as_str(), l.price_cents.get()))
            .collect();
        assert_eq!(
            three,
            [
                ("1", "Laptop", 99_999),
                ("2", "Mouse", 2_999),
                ("3", "Keyboard", 7_999)
            ]
        );
    }
}
