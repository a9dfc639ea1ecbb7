//! Caches in front of a store, kept true by the change feed.
//!
//! [`Cached`] is a store over a store: it answers what [`policy`] allows from memory and delegates the
//! rest. [`Tail`] reads the change feed and applies it to the caches and to the [`Index`] of
//! revocations; it alone knows whether this node's knowledge is fresh. A commit on this node applies
//! its changes at once, those of other nodes come with the feed.
//!
//! With a [`RedisClient`] nodes notify each other of changes, so that they read the feed at once. Values are not
//! kept in it: docs/decisions/0013-redis.md.

mod cached;
mod caches;
mod commits;
mod feed;
mod fresh;
mod index;
mod l1;
#[cfg(test)]
mod nodes;
pub mod policy;
mod redis;
mod revoked;
mod stats;
#[cfg(test)]
mod testing;
mod warm;
mod weigh;

pub use cached::{CacheOptions, Cached};
pub use feed::{ChangeSignal, FeedOptions, Tail};
pub use index::{Index, Verdict, prepare};
pub use redis::{
    ChangeNotifications, ConnectionStrategy, RedisClient, RedisCommand, RedisCommands, RedisFailure,
    RedisOpenError, RedisOptions,
};
pub use stats::CacheStats;
