//! Real servers for tests: a private PostgreSQL, private Redis servers, the project's own service binaries, and a TCP proxy
//! that injects faults.
//!
//! Everything started here belongs to the test process: it listens on a loopback address or a unix socket of its own, runs
//! as an unprivileged user when the caller is root, and is ended, its folder removed, when the test process is gone, even by
//! `kill -9` (see [`guard`]). Nothing is shared between test binaries, so they may run at the same time.
//!
//! ```no_run
//! # static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate::Migrator::DEFAULT;
//! # async fn example() -> anyhow::Result<()> {
//! let database = test_support::postgres().await?.database(&MIGRATOR).await?; // cloned from a migrated template
//! let redis = test_support::Redis::start().await?; //                           10 ms, so one a test
//! # let _ = (database.url(), redis.url());
//! # Ok(())
//! # }
//! ```

mod address;
mod binaries;
mod eventually;
pub mod guard;
mod postgres;
mod proxy;
mod redis;
mod retry;
mod secrets;
mod service;
mod services;
mod steps;

pub use address::{free_address, free_local_address};
pub use binaries::build_binaries;
pub use eventually::{eventually, eventually_within};
pub use postgres::{Postgres, TestDatabase, postgres};
pub use proxy::{FaultProxy, Mode, Upstream};
pub use redis::Redis;
pub use retry::comes_again;
pub use secrets::{REDIS_USERS, ROLES, Role, SECRETS};
pub use service::{Service, spawn_service};
pub use services::SERVICES;
pub use steps::Steps;
