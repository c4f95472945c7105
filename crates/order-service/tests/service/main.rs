//! order-service from outside: its own program against real PostgreSQL, Redis and product-service, with fault proxies
//! between them, and killed where it hurts.

mod answer;
mod cancel;
mod carts;
mod idempotency;
mod input;
mod lists;
mod outages;
mod placing;
mod recovery;
mod roles;
mod world;
