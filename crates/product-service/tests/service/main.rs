//! The service as its clients meet it: the real binary over a real PostgreSQL and a real Redis.

mod cache;
mod catalogue;
mod changes;
mod inputs;
mod outages;
mod reservations;
mod shop;
mod startup;
