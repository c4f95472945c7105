//! Stock movements by hand.

use crate::domain::{Delta, MAX_STOCK, ProductId, ShortId};
use sqlx::PgConnection;

/// What came of a movement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// Applied; stock and the product's revision now.
    Done {
        /// Pieces after it.
        stock: i64,
        /// The product's new revision.
        revision: i64,
    },
    /// This movement was applied before; stock right after it.
    Repeated {
        /// Pieces after it, then.
        stock: i64,
    },
    /// The movement's id stands for another product or delta.
    Reused,
    /// It would leave fewer than none, or more than [`MAX_STOCK`]; stock now.
    OutOfBounds {
        /// Pieces now.
        stock: i64,
    },
    /// There is no such product.
    Unknown,
}

/// Adds `delta` to a product's stock, once for each movement `id`.
///
/// # Errors
/// The database failed.
pub async fn apply(
    db: &mut PgConnection,
    product: &ProductId,
    id: &ShortId,
    delta: Delta,
) -> Result<Moved, sqlx::Error> {
    let stock = sqlx::query_scalar!(
        "SELECT stock FROM products WHERE id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE",
        product.as_str()
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(stock) = stock else {
        return Ok(Moved::Unknown);
    };
    let after = stock + delta.get();
    let inserted = sqlx::query!(
        "INSERT INTO stock_movements (id, product_id, delta, stock_after) VALUES ($1, $2, $3, $4)
         ON CONFLICT (id) DO NOTHING",
        id.as_str(),
        product.as_str(),
        delta.get(),
        after
    )
    .execute(&mut *db)
    .await?
    .rows_affected();
    if inserted == 0 {
        let known = sqlx::query!(
            "SELECT product_id, delta, stock_after FROM stock_movements WHERE id = $1",
            id.as_str()
        )
        .fetch_one(db)
        .await?;
        let same = known.product_id == product.as_str() && known.delta == delta.get();
        return Ok(if same {
            Moved::Repeated {
                stock: known.stock_after,
            }
        } else {
            Moved::Reused
        });
    }
    if !(0..=MAX_STOCK).contains(&after) {
        return Ok(Moved::OutOfBounds { stock });
    }
    let revision = sqlx::query_scalar!(
        "UPDATE products SET stock = $2, revision = revision + 1 WHERE id = $1 RETURNING revision",
        product.as_str(),
        after
    )
    .fetch_one(db)
    .await?;
    Ok(Moved::Done {
        stock: after,
        revision,
    })
}
