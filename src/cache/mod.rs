//! Caches in front of a store, kept true by the change feed.
//!
//! [`Cached`] is a store over a store: it answers what [`policy`] allows from memory and delegates the
//! rest. [`Tail`] reads the change feed and applies it to the caches and to the [`Index`] of
//! revocations; it alone knows whether this node's knowledge is fresh. A commit on this node applies
//! its changes at once, those of other nodes come with the feed.
//!
//! With a [`RedisClient`] there is a second tier, and nodes notify each other of changes. What comes from it
//! is used only as far as the feed proves it current, so it can make a node faster, never wrong.

mod cached;
mod caches;
mod feed;
mod fresh;
mod history;
mod index;
mod l1;
mod l2;
#[cfg(test)]
mod nodes;
pub mod policy;
mod read_through;
mod redis;
mod revoked;
mod stats;
#[cfg(test)]
mod testing;
mod warm;
mod watermarks;
mod weigh;

pub use cached::{CacheOptions, Cached};
pub use feed::{ChangeSignal, FeedOptions, Tail};
pub use index::{Index, Verdict, prepare};
pub use redis::{
    ChangeNotifications, ConnectionStrategy, RedisClient, RedisCommand, RedisFailure, RedisOpenError,
    RedisOptions,
};
pub use stats::{CacheStats, Tier};
