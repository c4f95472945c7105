//! What the handlers work with: the database, the cache before it, and the order in which a write tells the two.

use crate::cache::{Cache, Entry, Flights, Got, LOAD_DEADLINE, Touched};
use crate::cursor;
use crate::domain::ProductId;
use crate::failure;
use crate::search::Search;
use crate::store::products;
use crate::view;
use common::auth::BearerAuth;
use common::config::Secret;
use common::problem::Problem;
use http::HeaderValue;
use sqlx::{PgPool, PgTransaction};
use std::sync::Arc;

/// Where an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Redis.
    Hit,
    /// The database; Redis knows it now.
    Miss,
    /// The database; Redis is away.
    Bypass,
}

impl From<Source> for HeaderValue {
    fn from(source: Source) -> Self {
        Self::from_static(match source {
            Source::Hit => "hit",
            Source::Miss => "miss",
            Source::Bypass => "bypass",
        })
    }
}

/// A list page asked for.
#[derive(Debug, Clone)]
pub struct PageRequest {
    /// Which products.
    pub search: Search,
    /// The id that the page before ended with.
    pub after: Option<ProductId>,
    /// Most items.
    pub limit: i64,
}

type Answer = Result<(Entry, Source), Problem>;

/// Shared by all requests.
pub struct Shop {
    pool: PgPool,
    cache: Arc<Cache>,
    flights: Flights<Answer>,
    currency: String,
    admin: BearerAuth,
}

impl Shop {
    /// Puts the parts together.
    pub fn new(
        pool: PgPool,
        cache: Arc<Cache>,
        currency: String,
        admin_token: Option<Secret>,
    ) -> Self {
        Self {
            pool,
            cache,
            flights: Flights::default(),
            currency,
            admin: BearerAuth::new(admin_token),
        }
    }

    /// Guards changes to the catalogue.
    pub fn admin(&self) -> &BearerAuth {
        &self.admin
    }

    /// The deployment's currency.
    pub fn currency(&self) -> &str {
        &self.currency
    }

    /// Reads a product through the cache: [`Entry::Answer`] or [`Entry::Absent`].
    ///
    /// # Errors
    /// Neither cache nor database could answer.
    pub async fn product(&self, id: &ProductId) -> Answer {
        let got = self.cache.product(id).await;
        if let Got::Hit(entry) = got {
            return Ok((entry, Source::Hit));
        }
        let load = |waited: bool| async move {
            let got = if waited {
                self.cache.product(id).await
            } else {
                got
            };
            if let Got::Hit(entry) = got {
                return Ok((entry, Source::Hit));
            }
            let found = bounded(products::get(&self.pool, id)).await?;
            let revision = found.as_ref().map_or(0, |product| product.revision);
            let entry = match found {
                Some(product) if !product.deleted => Entry::Answer {
                    etag: view::etag(&product),
                    body: view::product(&product, &self.currency),
                },
                _ => Entry::Absent,
            };
            if got == Got::Bypass {
                return Ok((entry, Source::Bypass));
            }
            self.cache.fill_product(id, revision, &entry).await;
            Ok((entry, Source::Miss))
        };
        self.flights.run(&format!("item:{id}"), load).await
    }

    /// Reads a list page through the cache; always [`Entry::Answer`].
    ///
    /// # Errors
    /// Neither cache nor database could answer.
    pub async fn page(&self, request: &PageRequest) -> Answer {
        let key = &page_key(request);
        let got = self.cache.page(key).await;
        if let Got::Hit(entry) = got {
            return Ok((entry, Source::Hit));
        }
        let load = |waited: bool| async move {
            let got = if waited {
                self.cache.page(key).await
            } else {
                got
            };
            if let Got::Hit(entry) = got {
                return Ok((entry, Source::Hit));
            }
            let (revision, entry) = bounded(self.read_page(request)).await?;
            if got == Got::Bypass {
                return Ok((entry, Source::Bypass));
            }
            self.cache.fill_page(key, revision, &entry).await;
            Ok((entry, Source::Miss))
        };
        self.flights.run(&format!("page:{key}"), load).await
    }

    async fn read_page(&self, request: &PageRequest) -> Result<(i64, Entry), sqlx::Error> {
        let revision = products::revision(&self.pool).await?;
        let after = request.after.as_ref().map_or("", ProductId::as_str);
        // One more than asked for tells whether there is a next page.
        let mut found =
            products::list(&self.pool, &request.search, after, request.limit + 1).await?;
        let limit = usize::try_from(request.limit).unwrap_or(0);
        let more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().filter(|_| more);
        let next = last.map(|last| cursor::encode(request.search.fingerprint(), &last.id));
        let body = view::page(&found, next.as_deref(), &self.currency);
        Ok((
            revision,
            Entry::Answer {
                etag: String::new(),
                body,
            },
        ))
    }

    /// Begins a write.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn begin(&self) -> Result<PgTransaction<'static>, Problem> {
        self.pool.begin().await.map_err(failure::database)
    }

    /// Ends a write: tells the cache what is about to change, then commits. In this order, so that no reader can store
    /// what it read from before the commit, and whoever is answered after it reads the new state (see [`crate::cache`]).
    ///
    /// # Errors
    /// The database failed; the write may or may not have happened, as with any lost answer.
    pub async fn commit(
        &self,
        transaction: PgTransaction<'static>,
        touched: &Touched,
    ) -> Result<(), Problem> {
        self.cache.announce(touched).await;
        transaction.commit().await.map_err(failure::database)
    }
}

/// Bounds a read, so that whatever is stored in the cache was read a moment ago.
async fn bounded<T>(read: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Problem> {
    match tokio::time::timeout(LOAD_DEADLINE, read).await {
        Ok(read) => read.map_err(failure::database),
        Err(_) => Err(Problem::unavailable(
            "the catalogue takes too long to answer",
            1,
        )),
    }
}

/// Names a page in the cache: question, size and place.
fn page_key(request: &PageRequest) -> String {
    let fingerprint = u64::from_be_bytes(request.search.fingerprint());
    let after = request.after.as_ref().map_or("", ProductId::as_str);
    format!("{fingerprint:016x}:{}:{after}", request.limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_keys_of_their_own() {
        let request = |q, after: Option<&str>, limit| PageRequest {
            search: Search::parse(q, None).unwrap(),
            after: after.map(|id| ProductId::try_from(id.to_owned()).unwrap()),
            limit,
        };
        let keys = [
            page_key(&request(None, None, 20)),
            page_key(&request(Some("mouse"), None, 20)),
            page_key(&request(None, None, 2)),
            page_key(&request(None, Some("0"), 2)),
        ];
        let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len(), "{keys:?}");
    }
}
