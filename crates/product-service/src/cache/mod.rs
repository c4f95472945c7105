//! Cache-aside in Redis. What it must never do: serve a stock or price older than a change whose writer has been
//! answered, or turn an outage of Redis into an error.
//!
//! Every value carries the revision it was read at (a product's own, or the catalogue's for list pages). A writer
//! announces the revision it is about to commit, *before* it commits and while it still holds the row: from then on
//! readers miss, what they read from before the commit is refused by the fill script, and after the commit the new
//! value is let in. A writer that dies in between leaves an announcement nobody matches, which costs misses until it
//! expires. An announcement outlives every load (which is bounded by [`LOAD_DEADLINE`]) and every value, also under
//! `volatile-ttl`, which evicts what expires soonest.

mod entry;
mod flight;
mod link;
mod script;

pub use entry::Entry;
pub use flight::Flights;

use crate::domain::ProductId;
use bytes::Bytes;
use link::{Away, Link, millis};
use std::time::Duration;

/// Longest time between the start of a read from the database and the attempt to store it here.
pub const LOAD_DEADLINE: Duration = Duration::from_secs(5);
/// How long an announced change is remembered: far longer than any load or value.
const ANNOUNCEMENT_TTL: Duration = Duration::from_secs(600);
/// Largest body worth keeping, in bytes; larger answers are made anew each time.
const MAX_BODY: usize = 256 * 1024;
/// Where the catalogue's revision is announced.
const CATALOGUE: &str = "product:catalogue";

/// Times of the cache.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// How long an answer is kept, before jitter.
    pub ttl: Duration,
    /// How long it is remembered that a product does not exist, before jitter.
    pub absent_ttl: Duration,
    /// Longest wait for Redis.
    pub timeout: Duration,
}

/// What the cache says about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Got {
    /// Known: [`Entry::Answer`] or [`Entry::Absent`].
    Hit(Entry),
    /// Not known, or changed since.
    Miss,
    /// Redis is away; do not wait for it.
    Bypass,
}

/// What a write is about to change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    /// Products and the revisions they will have.
    pub products: Vec<(String, i64)>,
    /// The revision that the catalogue will have, when a list page could show the change.
    pub catalogue: Option<i64>,
}

/// The cache.
pub struct Cache {
    link: Link,
    times: Times,
    /// See [`entry::Shape`].
    shape: String,
}

impl Cache {
    /// Prepares the cache; nothing is connected before [`Self::keep`] runs. `currency` rides in every entry.
    ///
    /// # Errors
    /// `url` is not a Redis URL.
    pub fn new(url: &str, times: Times, currency: &str) -> Result<Self, redis::RedisError> {
        Ok(Self {
            link: Link::new(url, times.timeout, ANNOUNCEMENT_TTL)?,
            times,
            shape: format!("1{currency}"),
        })
    }

    /// Keeps the connection; run it for as long as the service runs. `report` is told when Redis comes and goes.
    pub async fn keep(&self, report: impl Fn(Result<(), &str>)) {
        self.link.keep(report).await;
    }

    /// Looks a product up.
    pub async fn product(&self, id: &ProductId) -> Got {
        let found = self
            .link
            .run::<Option<Bytes>>(redis::cmd("GET").arg(product_key(id.as_str())))
            .await;
        count(match found {
            Err(Away) => Got::Bypass,
            Ok(found) => found
                .and_then(|text| entry::decode(&self.shape, &text))
                .map_or(Got::Miss, known),
        })
    }

    /// Looks a list page up; only a page read at the catalogue's announced revision counts.
    pub async fn page(&self, page: &str) -> Got {
        let keys = [CATALOGUE.to_owned(), page_key(page)];
        count(
            match self
                .link
                .run::<(Option<Bytes>, Option<Bytes>)>(redis::cmd("MGET").arg(&keys))
                .await
            {
                Err(Away) => Got::Bypass,
                Ok((Some(catalogue), Some(page))) => {
                    let now = entry::decode(&self.shape, &catalogue);
                    let page = entry::decode(&self.shape, &page);
                    match (now, page) {
                        (Some((now, _)), Some(page)) if page.0 >= now => known(page),
                        _ => Got::Miss,
                    }
                }
                Ok(_) => Got::Miss,
            },
        )
    }

    /// Stores what was read of a product at `revision` (0: it does not exist), unless something newer is known.
    pub async fn fill_product(&self, id: &ProductId, revision: i64, entry: &Entry) {
        let ttl = if matches!(entry, Entry::Absent) {
            self.times.absent_ttl
        } else {
            self.times.ttl
        };
        let value = entry::encode(revision, &self.shape, entry);
        if value.len() <= MAX_BODY {
            let mut command = redis::cmd("EVAL");
            command
                .arg(script::FILL)
                .arg(1)
                .arg(product_key(id.as_str()));
            command.arg(revision).arg(value).arg(spread(ttl));
            let _ = self.link.run::<()>(&command).await; // the link has noted and reported a failure
        }
    }

    /// Stores a list page read at the catalogue's `revision`, unless the catalogue is known to be newer.
    pub async fn fill_page(&self, page: &str, revision: i64, entry: &Entry) {
        let value = entry::encode(revision, &self.shape, entry);
        if value.len() <= MAX_BODY {
            let mut command = redis::cmd("EVAL");
            command
                .arg(script::FILL_PAGE)
                .arg(2)
                .arg(page_key(page))
                .arg(CATALOGUE);
            command
                .arg(revision)
                .arg(value)
                .arg(spread(self.times.ttl))
                .arg(millis(ANNOUNCEMENT_TTL));
            let _ = self.link.run::<()>(&command).await; // the link has noted and reported a failure
        }
    }

    /// Announces what is about to be committed. Call it after the last statement and before `COMMIT`.
    pub async fn announce(&self, touched: &Touched) {
        let products = touched
            .products
            .iter()
            .map(|(id, revision)| (product_key(id), *revision));
        let catalogue = touched
            .catalogue
            .map(|revision| (CATALOGUE.to_owned(), revision));
        let changes: Vec<_> = products.chain(catalogue).collect();
        self.link.announce(&changes).await;
    }
}

/// An entry as a reader sees it.
fn known((_, entry): (i64, Entry)) -> Got {
    match entry {
        Entry::Changed => Got::Miss,
        entry => Got::Hit(entry),
    }
}

fn count(got: Got) -> Got {
    let result = match got {
        Got::Hit(_) => "hit",
        Got::Miss => "miss",
        Got::Bypass => "bypass",
    };
    metrics::counter!("product_cache_lookups_total", "result" => result).increment(1);
    got
}

fn product_key(id: &str) -> String {
    format!("product:item:{id}")
}

fn page_key(page: &str) -> String {
    format!("product:page:{page}")
}

/// A time to live in ms, give or take a fifth, so that what was filled together does not expire together.
fn spread(ttl: Duration) -> u64 {
    millis(common::clock::jitter(ttl, 0.2))
}
