//! Caches in front of a store, kept true by the change feed.
//!
//! [`Cached`] is a store over a store: it answers what [`policy`] allows from memory and hands on the
//! rest. [`Tail`] reads the change feed and applies it to the caches and to the [`Index`] of
//! revocations; it alone knows whether this node's knowledge is fresh. A commit on this node applies
//! its changes at once, those of other nodes come with the feed.

mod cached;
mod caches;
mod count;
mod feed;
mod fresh;
mod index;
mod l1;
pub mod policy;
mod revoked;
#[cfg(test)]
mod testing;
mod weigh;

pub use cached::{CacheOptions, Cached};
pub use count::CacheFigures;
pub use feed::{Doorbell, FeedOptions, Tail};
pub use index::{Index, Verdict};
