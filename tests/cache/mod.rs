//! The caches and the change feed, seen from outside, over real stores.

mod order;
mod ratio;
