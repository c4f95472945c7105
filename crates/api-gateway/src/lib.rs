//! The public door: routes, balances and protects.
