//! Faults under load: what is promised holds while processes die, networks stall and databases move.
//!
//! Each test runs a short version; with `CHANCERY_FAULTS=long` a longer one.

mod check;
mod cluster;
mod driver;
mod embedded;
mod fake;
mod flaws;
mod history;
mod invalidation;
mod keys;
mod load;
mod locks;
mod network;
mod propagation;
mod redis;
mod site;
mod start;

/// Whether this is the long version.
pub fn is_long() -> bool {
    std::env::var("CHANCERY_FAULTS").is_ok_and(|version| version == "long")
}

/// How often a fault is repeated: in the short version and in the long one.
fn rounds(short: usize, long: usize) -> usize {
    if is_long() { long } else { short }
}
