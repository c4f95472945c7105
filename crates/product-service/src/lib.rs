//! Catalogue, cache and stock reservations.
