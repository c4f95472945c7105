//! Orders, idempotent checkout and carts.
