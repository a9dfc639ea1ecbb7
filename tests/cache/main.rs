//! The caches and the change feed, seen from outside, over real stores.

#[allow(dead_code, reason = "the store's tests use the rest")]
#[path = "../store/fixtures.rs"]
mod fixtures;
mod order;
mod ratio;
#[path = "../servers/mod.rs"]
mod servers;
