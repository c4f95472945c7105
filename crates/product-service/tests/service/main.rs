//! The service as its clients meet it: the real binary over a real PostgreSQL and a real Redis.

#![expect(clippy::unwrap_used, reason = "a story that cannot go on ends there")]

mod cache;
mod catalogue;
mod changes;
mod inputs;
mod outages;
mod reservations;
mod shop;
mod startup;
