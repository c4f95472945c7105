//! What the shop's mint mints (`docker/secrets/mint.sh`), and who opens what with it: for tests of every way that the shop runs.

/// Every secret, by its name. Redis' users are made of them.
pub const SECRETS: [&str; 10] = [
    "admin-token",
    "catalog-owner-password",
    "catalog-password",
    "operator-password",
    "orders-owner-password",
    "orders-password",
    "postgres-password",
    "redis-order-password",
    "redis-product-password",
    "registry-token",
];

/// PostgreSQL's roles.
pub const ROLES: [Role; 5] = [
    role("postgres", "postgres", "postgres-password"),
    role("catalog_owner", "catalog", "catalog-owner-password"),
    role("catalog", "catalog", "catalog-password"),
    role("orders_owner", "orders", "orders-owner-password"),
    role("orders", "orders", "orders-password"),
];

/// Redis' users that log in with a secret of their own, each with its name.
pub const REDIS_USERS: [(&str, &str); 3] = [
    ("operator", "operator-password"),
    ("product", "redis-product-password"),
    ("order", "redis-order-password"),
];

/// A role of PostgreSQL.
#[derive(Debug, Clone, Copy)]
pub struct Role {
    /// Its name.
    pub name: &'static str,
    /// The database that is its own.
    pub database: &'static str,
    /// The name of its secret.
    pub secret: &'static str,
}

const fn role(name: &'static str, database: &'static str, secret: &'static str) -> Role {
    Role {
        name,
        database,
        secret,
    }
}
