//! Carts in Redis: one hash per session, changed by scripts, so that every change is atomic and moves the version.
//!
//! Key `cart:<hash of the session id>`; fields `v` (version), `d` (the version that was last checked out) and
//! `i:<product id>` = `<quantity>:<version when first added>`. The key's existence is the session's.

use std::time::Duration;

use common::config::Secret;
use deadpool_redis::{Config, Pool, Runtime, redis};

use super::SessionId;
use crate::domain::MAX_ITEMS;

/// A session unused for this long is forgotten.
pub const LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);
/// Longest wait for one command, connecting included: carts are worth a short wait, not a hanging page.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Fields that are no items.
const META_FIELDS: usize = 2;

/// Reads the cart and renews the session. Empty when the session is unknown.
const READ: &str = "
if redis.call('PEXPIRE', KEYS[1], ARGV[1]) == 0 then return {} end
return redis.call('HGETALL', KEYS[1])";

/// Begins a session.
const BEGIN: &str = "
redis.call('HSET', KEYS[1], 'v', 1, 'd', 0)
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return redis.call('HGETALL', KEYS[1])";

/// Sets the quantity of a product (ARGV: lifetime, product, quantity, most fields).
const PUT: &str = "
if redis.call('PEXPIRE', KEYS[1], ARGV[1]) == 0 then return {} end
local field = 'i:' .. ARGV[2]
local added = redis.call('HGET', KEYS[1], 'v')
local old = redis.call('HGET', KEYS[1], field)
if old then
  added = string.match(old, ':(%d+)$')
elseif redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then
  return {'full', '1'}
end
redis.call('HSET', KEYS[1], field, ARGV[3] .. ':' .. added)
redis.call('HINCRBY', KEYS[1], 'v', 1)
return redis.call('HGETALL', KEYS[1])";

/// Removes a product (ARGV: lifetime, product).
const REMOVE: &str = "
if redis.call('PEXPIRE', KEYS[1], ARGV[1]) == 0 then return {} end
if redis.call('HDEL', KEYS[1], 'i:' .. ARGV[2]) == 1 then redis.call('HINCRBY', KEYS[1], 'v', 1) end
return redis.call('HGETALL', KEYS[1])";

/// Ends a checkout of version ARGV[1], unless the cart has changed since. Placed (ARGV[2] = '1'): empties it and remembers
/// the version, so that a repeated checkout finds its answer. Refused: moves the version, so that the next checkout is a
/// new one.
const CHECKED_OUT: &str = "
if redis.call('HGET', KEYS[1], 'v') ~= ARGV[1] then return 0 end
if ARGV[2] == '1' then
  for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    if string.sub(field, 1, 2) == 'i:' then redis.call('HDEL', KEYS[1], field) end
  end
  redis.call('HSET', KEYS[1], 'd', ARGV[1])
end
redis.call('HINCRBY', KEYS[1], 'v', 1)
return 1";

/// A session's cart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cart {
    /// Moves with every change; with the session it names a checkout.
    pub version: u64,
    /// The version that was last checked out; 0 for none.
    pub checked_out: u64,
    /// What is in it, in the sequence it was added.
    pub lines: Vec<Line>,
}

/// One product in a cart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The product's id.
    pub product_id: String,
    /// How many.
    pub quantity: u32,
}

/// What a script found.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    /// The cart, after the change.
    Cart(Cart),
    /// No such session.
    UnknownSession,
    /// The cart holds the most products it may; nothing was changed.
    Full,
}

/// Carts are away.
#[derive(Debug, thiserror::Error)]
pub enum CartError {
    /// Redis cannot be reached.
    #[error("Redis is away")]
    Pool(#[from] deadpool_redis::PoolError),
    /// Redis failed a command.
    #[error("Redis failed a command")]
    Command(#[from] redis::RedisError),
    /// Redis did not answer in time.
    #[error("Redis did not answer within {} ms", PATIENCE.as_millis())]
    TimedOut,
    /// A cart holds what no version of this service writes.
    #[error("a cart cannot be read")]
    Unreadable,
}

/// The carts. Cheap to clone.
#[derive(Clone)]
pub struct Carts {
    pool: Pool,
}

impl std::fmt::Debug for Carts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Carts(..)")
    }
}

impl Carts {
    /// Carts in the Redis at `url`, which is not connected to yet.
    ///
    /// # Errors
    /// When the URL is none.
    pub fn new(url: &Secret) -> Result<Self, deadpool_redis::CreatePoolError> {
        let mut config = Config::from_url(url.expose());
        let mut pool = deadpool_redis::PoolConfig::new(16);
        pool.timeouts.wait = Some(PATIENCE);
        pool.timeouts.create = Some(PATIENCE);
        pool.timeouts.recycle = Some(PATIENCE);
        config.pool = Some(pool);
        Ok(Self {
            pool: config.create_pool(Some(Runtime::Tokio1))?,
        })
    }

    /// Whether Redis answers.
    ///
    /// # Errors
    /// [`CartError`] when it does not.
    pub async fn ping(&self) -> Result<(), CartError> {
        within(async {
            let mut connection = self.pool.get().await?;
            redis::cmd("PING")
                .query_async::<()>(&mut connection)
                .await?;
            Ok(())
        })
        .await
    }

    /// Begins a session with an empty cart.
    ///
    /// # Errors
    /// [`CartError`].
    pub async fn begin(&self) -> Result<(SessionId, Cart), CartError> {
        let sid = SessionId::random();
        match self.run(BEGIN, &sid, &[]).await? {
            Seen::Cart(cart) => Ok((sid, cart)),
            Seen::UnknownSession | Seen::Full => Err(CartError::Unreadable),
        }
    }

    /// A session's cart.
    ///
    /// # Errors
    /// [`CartError`].
    pub async fn read(&self, sid: &SessionId) -> Result<Seen, CartError> {
        self.run(READ, sid, &[]).await
    }

    /// Sets how many of a product are in the cart.
    ///
    /// # Errors
    /// [`CartError`].
    pub async fn put(
        &self,
        sid: &SessionId,
        product_id: &str,
        quantity: u32,
    ) -> Result<Seen, CartError> {
        self.run(
            PUT,
            sid,
            &[
                product_id,
                &quantity.to_string(),
                &(MAX_ITEMS + META_FIELDS).to_string(),
            ],
        )
        .await
    }

    /// Takes a product out of the cart, if it is in it.
    ///
    /// # Errors
    /// [`CartError`].
    pub async fn remove(&self, sid: &SessionId, product_id: &str) -> Result<Seen, CartError> {
        self.run(REMOVE, sid, &[product_id]).await
    }

    /// Ends a checkout of `version`; a cart that was changed meanwhile stays as it is.
    ///
    /// # Errors
    /// [`CartError`].
    pub async fn checked_out(
        &self,
        sid: &SessionId,
        version: u64,
        placed: bool,
    ) -> Result<(), CartError> {
        within(async {
            let mut connection = self.pool.get().await?;
            let mut command = redis::cmd("EVAL");
            command
                .arg(CHECKED_OUT)
                .arg(1)
                .arg(key(sid))
                .arg(version)
                .arg(if placed { "1" } else { "0" });
            command.query_async::<i64>(&mut connection).await?;
            Ok(())
        })
        .await
    }

    async fn run(
        &self,
        script: &str,
        sid: &SessionId,
        arguments: &[&str],
    ) -> Result<Seen, CartError> {
        let fields = within(async {
            let mut connection = self.pool.get().await?;
            let mut command = redis::cmd("EVAL");
            command
                .arg(script)
                .arg(1)
                .arg(key(sid))
                .arg(LIFETIME.as_millis().to_string())
                .arg(arguments);
            Ok(command
                .query_async::<Vec<(String, String)>>(&mut connection)
                .await?)
        })
        .await?;
        understand(&fields).ok_or(CartError::Unreadable)
    }
}

async fn within<T>(work: impl Future<Output = Result<T, CartError>>) -> Result<T, CartError> {
    tokio::time::timeout(PATIENCE, work)
        .await
        .unwrap_or(Err(CartError::TimedOut))
}

fn key(sid: &SessionId) -> String {
    format!("cart:{}", sid.hash_hex())
}

/// Reads a hash's fields; `None` for what no version of this service writes.
fn understand(fields: &[(String, String)]) -> Option<Seen> {
    if fields.is_empty() {
        return Some(Seen::UnknownSession);
    }
    let mut cart = Cart::default();
    let mut lines: Vec<(u64, Line)> = Vec::new();
    for (field, value) in fields {
        match (field.as_str(), field.strip_prefix("i:")) {
            ("full", _) => return Some(Seen::Full),
            ("v", _) => cart.version = value.parse().ok()?,
            ("d", _) => cart.checked_out = value.parse().ok()?,
            (_, Some(product_id)) => {
                let (quantity, added) = value.split_once(':')?;
                let line = Line {
                    product_id: product_id.to_owned(),
                    quantity: quantity.parse().ok()?,
                };
                lines.push((added.parse().ok()?, line));
            }
            // A field of a newer version.
            _ => {}
        }
    }
    lines.sort_by_key(|(added, _)| *added);
    cart.lines = lines.into_iter().map(|(_, line)| line).collect();
    Some(Seen::Cart(cart))
}
